//! The first and the second `git status` in a new container, without the entrypoint, which would
//! have run git already.

use crate::Result;
use crate::container::Run;
use crate::figures::Measure;
use crate::lab::Lab;

/// In an image that was baked.
pub const NEW: &str = "status: first image";
/// In one that was updated.
pub const UPDATED: &str = "status: updated image";

const SCRIPT: &str = "cd /workspace && date +%s.%N && git status --porcelain >&2 && date +%s.%N && \
    git status --porcelain >&2 && date +%s.%N";

/// Measures both in a container of `image`.
pub fn measure(lab: &mut Lab<'_>, phase: &str, arm: &'static str, image: &str) -> Result<()> {
    let script = [SCRIPT];
    let (stdout, _) = Run::script(image, &script).run(&lab.store.api)?;
    let clocks: Vec<f64> = stdout.lines().map(str::parse).collect::<Result<_, _>>()?;
    let [before, between, after] = clocks[..] else {
        return Err(format!("`git status` in a container printed {stdout:?}").into());
    };
    lab.figures
        .add(phase, arm, Measure::First, between - before);
    lab.figures
        .add(phase, arm, Measure::Second, after - between);
    Ok(())
}
