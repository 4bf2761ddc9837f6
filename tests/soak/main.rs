//! Kills dkr at random moments of each command and checks what that leaves: work must not be lost, the
//! user's repository must be unchanged, and the next commands must find and repair the rest.
//!
//! `sh tests/soak.sh` runs it. `stories` has for each command the setup before a kill and the checks
//! after it; `lab` has what all of them share.

mod lab;
mod stories;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::RngExt;

use lab::Lab;
use stories::{STORIES, Story};

/// The results for one command.
#[derive(Default)]
struct Tally {
    /// How often the command was killed.
    kills: usize,
    /// How often it had exited before its kill.
    late: usize,
    /// The failed checks.
    faults: Vec<String>,
}

fn main() -> ExitCode {
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().expect("it is a number"))
    };
    let kills = usize::try_from(number("SOAK_KILLS", 100)).expect("it is small");
    let seconds = number("SOAK_SECONDS", 3600);
    let only: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&Story> = STORIES
        .iter()
        .filter(|story| only.is_empty() || only.iter().any(|name| name == story.name))
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    say(&format!(
        "{:<18} {:>6} {:>6} {:>7}",
        "COMMAND", "KILLS", "LATE", "FAULTS"
    ));
    let mut failed = false;
    for (index, story) in chosen.iter().enumerate() {
        let left = u32::try_from(chosen.len() - index).expect("they are few");
        let share = end.saturating_duration_since(Instant::now()) / left;
        let tally = soak(story, kills, Instant::now() + share);
        let (name, faults) = (story.name, tally.faults.len());
        say(&format!(
            "{name:<18} {:>6} {:>6} {faults:>7}",
            tally.kills, tally.late
        ));
        for fault in &tally.faults {
            say(&format!("    {fault}"));
        }
        failed |= faults > 0;
    }
    ExitCode::from(u8::from(failed))
}

/// Kills the command of one story `kills` times, or until the time is up.
fn soak(story: &Story, kills: usize, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut lab = Lab::new();
    let mut random = rand::rng();
    let mut usual = Duration::ZERO;
    // The first run is not killed: it measures how long the command takes, as does each later one that
    // exits before its kill.
    let mut round = 0;
    while tally.kills < kills && (Instant::now() < until || round < 3) {
        let told = catch_unwind(AssertUnwindSafe(|| {
            (story.prepare)(&mut lab, round);
            let after = match round {
                0 => None,
                _ => Some(usual.mul_f64(random.random_range(0.0..1.1))),
            };
            let (took, killed) = lab.run(&(story.arguments)(&lab), story.terminal, after);
            (story.check)(&lab, killed);
            lab.check();
            (took, killed)
        }));
        match told {
            Ok((took, killed)) => {
                if !killed {
                    usual = took;
                    tally.late += usize::from(round > 0);
                }
                tally.kills += usize::from(killed);
            }
            Err(fault) => {
                tally.kills += 1;
                tally
                    .faults
                    .push(format!("round {round}: {}", text(&*fault)));
                // It would be reported again in every round.
                drop(catch_unwind(AssertUnwindSafe(|| drop(lab))));
                lab = Lab::new();
            }
        }
        round += 1;
    }
    // The sandbox checks for leftovers, too.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        lab.gone();
        lab.forgets();
        drop(lab);
    }));
    if let Err(fault) = ended {
        tally.faults.push(format!("at the end: {}", text(&*fault)));
    }
    tally
}

/// The message of a panic, on one line.
fn text(fault: &(dyn std::any::Any + Send)) -> String {
    let text = fault.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| fault.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").replace('\n', " | ")
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").expect("somebody reads it");
}
