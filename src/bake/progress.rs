//! Shows the events of a build as progress.
//!
//! The caller names the steps of the Dockerfile; this module decides which steps get a line, and
//! which parts of their output are numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::buildkit::event::{Event, StepId};
use crate::buildkit::git_progress;
use crate::buildkit::package_progress::PackageCount;
use crate::buildkit::step_name::{Label, shorten, unknown_label};
use crate::ui::Ui;
use crate::ui::progress::{PhaseEnd, PhaseId, Progress, Stage};

/// Shows a build. `label_of` maps BuildKit's name of a step (`[3/9] RUN make`) to a label; a step that
/// it does not know is shown under a shortened name, and BuildKit's own housekeeping not at all.
pub struct BuildProgress<F> {
    ui: Ui,
    progress: Progress,
    label_of: F,
    running: HashMap<StepId, Step>,
    ended: HashSet<StepId>,
}

/// State of a step that is shown.
#[derive(Debug, Default)]
struct Step {
    packages: PackageCount,
    /// Bytes done and total bytes of each layer in transfer; there may be many at a time.
    layers: BTreeMap<String, (u64, u64)>,
}

impl<F: Fn(&str) -> Option<Label>> BuildProgress<F> {
    /// Shows nothing yet.
    pub fn new(ui: &Ui, label_of: F) -> Self {
        BuildProgress {
            progress: ui.progress(),
            ui: ui.clone(),
            label_of,
            running: HashMap::new(),
            ended: HashSet::new(),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { step, name } => self.start(*step, name),
            Event::Log {
                step,
                line,
                transient,
                ..
            } => self.log(*step, line, *transient),
            Event::Counter {
                step,
                name,
                current,
                total,
                ..
            } => self.count(*step, name, *current, *total),
            Event::Finished {
                step,
                name,
                cached,
                error,
                took,
            } => {
                self.start(*step, name);
                let outcome = match error {
                    // A step that was canceled because another failed has not failed itself.
                    Some(error) if is_given_up(error) => None,
                    Some(_) => Some(PhaseEnd::Failed),
                    None if *cached => Some(PhaseEnd::Cached),
                    None => Some(PhaseEnd::Done { took: *took }),
                };
                self.finish(*step, outcome);
            }
            Event::Warning { text } => self.ui.warning(text),
        }
    }

    fn start(&mut self, step: StepId, name: &str) {
        if self.running.contains_key(&step) || self.ended.contains(&step) {
            return;
        }
        let label = (self.label_of)(name).unwrap_or_else(|| unknown_label(name));
        if let Label::Shown(label) = label {
            self.running.insert(step, Step::default());
            self.progress.start(phase(step), &label);
        }
    }

    fn log(&mut self, step: StepId, line: &str, transient: bool) {
        let Some(state) = self.running.get_mut(&step) else {
            return;
        };
        let id = phase(step);
        if let Some(git) = git_progress::parse(line) {
            let mut stage = Stage::new(git.stage).at(git.current, git.total.unwrap_or(0));
            stage.detail = git.detail;
            self.progress.stage(id, stage);
            return;
        }
        if let Some((done, total)) = state.packages.read(line) {
            self.progress
                .stage(id, Stage::new("packages").at(done, total));
        }
        // Lines that other programs overwrite are not worth showing.
        if !transient {
            self.progress.log(id, line);
        }
    }

    fn count(&mut self, step: StepId, name: &str, current: u64, total: u64) {
        let Some(state) = self.running.get_mut(&step) else {
            return;
        };
        let stage = match layer(name) {
            Some(digest) => {
                state.layers.insert(digest.to_owned(), (current, total));
                let sums = state.layers.values().fold((0, 0), |sum, layer| {
                    (sum.0 + layer.0.min(layer.1), sum.1 + layer.1)
                });
                Stage::new("layers").at(sums.0, sums.1).in_bytes()
            }
            None => Stage::new(shorten(name)).at(current, total).in_bytes(),
        };
        self.progress.stage(phase(step), stage);
    }

    fn finish(&mut self, step: StepId, outcome: Option<PhaseEnd>) {
        if self.running.remove(&step).is_none() {
            return;
        }
        self.ended.insert(step);
        match outcome {
            Some(outcome) => self.progress.finish(phase(step), outcome),
            None => self.progress.forget(phase(step)),
        }
    }
}

fn phase(StepId(number): StepId) -> PhaseId {
    PhaseId(number)
}

/// BuildKit cancels a step with gRPC's text for a canceled call.
fn is_given_up(error: &str) -> bool {
    error.contains("context canceled")
}

/// The digest in a counter of a layer that is pulled or extracted: `sha256:…`,
/// `extracting sha256:…`; an exporter's `writing image sha256:…` is none.
fn layer(counter: &str) -> Option<&str> {
    let counter = counter.strip_prefix("extracting ").unwrap_or(counter);
    let digest = counter.split_whitespace().next()?;
    digest.starts_with("sha256:").then_some(counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::event::Stream;
    use crate::ui::progress::ProgressMode;
    use crate::ui::testing::{Captured, pipe};
    use std::time::Duration;

    fn known(name: &str) -> Option<Label> {
        match name {
            "[2/3] RUN clone" => Some(Label::Shown("clone".into())),
            "[3/3] RUN ./setup.sh" => Some(Label::Shown("[post_clone] RUN ./setup.sh".into())),
            "[3/3] COPY secret" => Some(Label::Hidden),
            "exporting to image" => Some(Label::Shown("export image".into())),
            _ => None,
        }
    }

    fn started(step: usize, name: &str) -> Event {
        Event::Started {
            step: StepId(step),
            name: name.to_owned(),
        }
    }

    fn log(step: usize, line: &str, transient: bool) -> Event {
        Event::Log {
            step: StepId(step),
            stream: Stream::Stderr,
            line: line.to_owned(),
            transient,
        }
    }

    fn counter(step: usize, name: &str, current: u64, total: u64) -> Event {
        Event::Counter {
            step: StepId(step),
            name: name.to_owned(),
            current,
            total,
            done: current == total,
        }
    }

    fn finished(step: usize, name: &str, cached: bool, error: Option<&str>) -> Event {
        Event::Finished {
            step: StepId(step),
            name: name.to_owned(),
            cached,
            error: error.map(str::to_owned),
            took: Some(Duration::from_millis(5300)),
        }
    }

    /// The plain lines of a build.
    fn shown(events: &[Event]) -> String {
        let Captured { ui, err, .. } = pipe(ProgressMode::default());
        let mut progress = BuildProgress::new(&ui, known);
        for event in events {
            progress.show(event);
        }
        drop(progress);
        err.text()
    }

    #[test]
    fn a_build_reads_as_lines() {
        let text = shown(&[
            started(0, "[internal] load build definition from Dockerfile"),
            log(0, "transferring dockerfile: 2B", false),
            finished(
                0,
                "[internal] load build definition from Dockerfile",
                false,
                None,
            ),
            finished(1, "[1/3] FROM docker.io/library/debian:12", true, None),
            started(2, "[2/3] RUN clone"),
            log(2, "Cloning into '/workspace'...", false),
            log(2, "remote: Enumerating objects: 10, done.", false),
            log(2, "Receiving objects:  10% (1/10)", true),
            log(2, "Receiving objects:  20% (2/10)", true),
            log(
                2,
                "Receiving objects: 100% (10/10), 5.00 KiB | 5.00 MiB/s, done.",
                false,
            ),
            log(2, "curl:  20%", true),
            finished(2, "[2/3] RUN clone", false, None),
            started(3, "[3/3] RUN ./setup.sh"),
            log(3, "hello", false),
            finished(3, "[3/3] RUN ./setup.sh", false, Some("exit code: 3")),
            started(4, "[3/3] COPY secret"),
            finished(4, "[3/3] COPY secret", false, None),
            Event::Warning { text: "odd".into() },
        ]);
        let expected = "\
[FROM docker.io/library/debian:12] started
[FROM docker.io/library/debian:12] cached
[clone] started
[clone] Cloning into '/workspace'...
[clone] Enumerating objects: 10
[clone] Receiving objects: 10% (1/10)
[clone] Receiving objects: 100% (10/10), 5.00 KiB | 5.00 MiB/s
[clone] done in 5.3s
[post_clone] RUN ./setup.sh
[post_clone] hello
[post_clone] failed after 0.0s
warning: odd
";
        assert_eq!(text, expected);
    }

    #[test]
    fn layers_that_move_at_once_are_one_number() {
        let export = "exporting to image";
        let image = format!("writing image sha256:{}", "a1".repeat(32));
        let text = shown(&[
            started(1, "[1/3] FROM docker.io/library/debian:12"),
            counter(1, "sha256:aa", 0, 1_000_000),
            counter(1, "sha256:bb", 500_000, 3_000_000),
            counter(1, "sha256:aa", 1_000_000, 1_000_000),
            counter(1, "sha256:bb", 3_000_000, 3_000_000),
            finished(1, "[1/3] FROM docker.io/library/debian:12", false, None),
            started(5, export),
            counter(5, "exporting layers", 0, 0),
            counter(5, &image, 0, 0),
            finished(5, export, false, None),
            finished(5, export, false, None),
        ]);
        let expected = "\
[FROM docker.io/library/debian:12] started
[FROM docker.io/library/debian:12] layers: 0% (0 B/1.0 MB)
[FROM docker.io/library/debian:12] layers: 100% (4.0 MB/4.0 MB)
[FROM docker.io/library/debian:12] done in 5.3s
[export image] started
[export image] exporting layers
[export image] writing image a1a1a1a1a1a1
[export image] done in 5.3s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn packages_are_counted() {
        let text = shown(&[
            started(2, "[2/3] RUN clone"),
            log(
                2,
                "0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.",
                false,
            ),
            log(2, "Setting up git (1:2.39.5) ...", false),
        ]);
        let expected = "\
[clone] started
[clone] packages: 0% (0/1)
[clone] 0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
[clone] packages: 100% (1/1)
[clone] Setting up git (1:2.39.5) ...
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_step_given_up_for_another_leaves_no_line() {
        let error = "executor failed: context canceled";
        let text = shown(&[
            started(2, "[2/3] RUN clone"),
            finished(2, "[2/3] RUN clone", false, Some(error)),
        ]);
        assert_eq!(text, "[clone] started\n");
    }
}
