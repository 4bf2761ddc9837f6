//! How long it takes until a command in a new container is reached: it writes the clock.

use crate::Result;
use crate::container::Run;
use crate::figures::Measure;
use crate::lab::Lab;
use crate::meter::now;
use crate::repo::MAIN;

pub const PHASE: &str = "start";
/// The command.
const CLOCK: [&str; 2] = ["date", "+%s.%N"];
/// The URL of the remote `host` in a container.
const HOST_URL: &str = "ext::/usr/local/lib/dkr/connect %S";

/// Starts containers of dkr's newest image of `main`, which is current.
pub fn measure(lab: &mut Lab<'_>) -> Result<()> {
    let image = lab.newest(MAIN)?;
    let tip = lab.repo.facts(MAIN)?.commit;
    for number in 0..lab.options.size.starts {
        let plain = Run {
            image: &image,
            entrypoint: &CLOCK[..1],
            command: &CLOCK[1..],
            ..Run::default()
        };
        by_api(lab, "run", &plain)?;
        let whole = Run {
            image: &image,
            command: &CLOCK,
            env: environment(number, &tip),
            init: true,
            ..Run::default()
        };
        by_api(lab, "entrypoint", &whole)?;
        by_dkr(lab, PHASE)?;
    }
    Ok(())
}

/// One start by dkr, told as of `phase`.
pub fn by_dkr(lab: &mut Lab<'_>, phase: &str) -> Result<()> {
    let arguments = [MAIN, "--stale", "proceed", "--", CLOCK[0], CLOCK[1]];
    let ended = lab.dkr("start-image", &arguments)?;
    note(lab, phase, "dkr", ended.clocks, &ended.stdout)?;
    lab.figures.add(phase, "dkr", Measure::Memory, ended.memory);
    Ok(())
}

fn by_api(lab: &mut Lab<'_>, arm: &'static str, run: &Run<'_>) -> Result<()> {
    let began = now();
    let (stdout, _) = run.run(&lab.store.api)?;
    note(lab, PHASE, arm, (began, now()), &stdout)
}

fn note(
    lab: &mut Lab<'_>,
    phase: &str,
    arm: &'static str,
    (began, ended): (f64, f64),
    stdout: &str,
) -> Result<()> {
    let reached: f64 = stdout.trim().parse()?;
    lab.figures.add(phase, arm, Measure::Wall, reached - began);
    lab.figures.add(phase, arm, Measure::After, ended - reached);
    Ok(())
}

/// What lets the entrypoint do what it does for dkr: a branch, and a tip that needs no fetch.
fn environment(number: usize, tip: &str) -> Vec<String> {
    vec![
        format!("DKR_WORK_BRANCH=bench-{number}"),
        format!("DKR_TIP={tip}"),
        "DKR_USER_NAME=Bench".to_owned(),
        "DKR_USER_EMAIL=bench@example.com".to_owned(),
        format!("DKR_HOST_URL={HOST_URL}"),
    ]
}
