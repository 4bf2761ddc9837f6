//! The benchmark of dkr, started by `benches/run.sh`, whose `--help` says what it does.
//!
//! `phases` measures, a file for each thing that is measured; `lab` is what they share: `repo`, the
//! repository; `builds`, the Dockerfiles written by hand; `store` and `container`, the engine;
//! `meter`, what work costs. Everything becomes `figures`, which `verdict` compares with the targets
//! and `report` shows. Nothing outside the sandbox's folder and the engine is touched, and of dkr
//! nothing is used but the program.

mod builds;
mod container;
mod figures;
mod header;
mod lab;
mod meter;
mod options;
mod phases;
mod repo;
mod report;
mod store;
mod verdict;

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use testkit::Sandbox;
use tokio::signal::unix::{SignalKind, signal};

use crate::builds::Builder;
use crate::figures::Figures;
use crate::header::Header;
use crate::lab::Lab;
use crate::options::Options;
use crate::phases::{create, list, long, start, status, update, versus};
use crate::repo::{Extent, MAIN, Repo};
use crate::report::Report;
use crate::store::Store;
use crate::verdict::{growth, noise, verdicts};

/// How long what runs may take to end when the user interrupts the benchmark.
const GRACE: Duration = Duration::from_secs(10);

/// Whatever goes wrong ends the benchmark; what the engine or git refuses is a panic of the testkit.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let done = Options::parse(std::env::args().skip(1)).and_then(|options| bench(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells how far it is, on stderr.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}

/// A program that cargo has put beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn bench(options: &Options) -> Result<()> {
    let sandbox = Sandbox::new();
    let store = Store::new(&sandbox)?;
    let folder = sandbox.path().to_owned();
    std::thread::spawn(move || end_when_interrupted(&folder));
    let measured = catch_unwind(AssertUnwindSafe(|| measure(options, &sandbox, &store)));
    say("clean up");
    store.clean_up();
    match measured {
        Ok(Ok((extent, figures))) => {
            let header = Header::new(&sandbox, &store)?;
            report(options, &header, &extent, &figures)
        }
        Ok(Err(error)) => {
            say(&format!("error: {error}"));
            // Ends as a failed test does: the sandbox goes without a check of what is left in it.
            resume_unwind(Box::new(()))
        }
        Err(panic) => resume_unwind(panic),
    }
}

/// Waits for Ctrl-C or a request to terminate, then ends what runs in the sandbox: what waits for
/// that fails, and nothing else begins. A build by hand ends because its SSH server does.
fn end_when_interrupted(sandbox: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    runtime.block_on(async {
        let signals = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        );
        if let (Ok(mut interrupt), Ok(mut terminate)) = signals {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        }
    });
    meter::interrupt();
    let running = testkit::processes_mentioning(sandbox).into_iter();
    let running: Vec<u32> = running.map(|(pid, _)| pid).collect();
    testkit::end_processes(&running, GRACE);
}

fn measure(options: &Options, sandbox: &Sandbox, store: &Store<'_>) -> Result<(Extent, Figures)> {
    say(&format!("make the repository ({})", options.size.name));
    let mut lab = Lab {
        options,
        sandbox,
        store,
        builder: Builder::new(store, sandbox),
        program: testkit::dkr(),
        repo: Repo::new(options, sandbox)?,
        figures: Figures::default(),
    };
    let extent = lab.repo.extent()?;
    prepare(&mut lab)?;
    for round in 1..=options.reps {
        match &options.versus {
            Some(other) => versus::measure(&mut lab, other, round)?,
            None => repetition(&mut lab, round)?,
        }
    }
    Ok((extent, lab.figures))
}

/// Brings into the build cache what does not depend on the repository, in every arm: what installs
/// packages.
fn prepare(lab: &mut Lab<'_>) -> Result<()> {
    say("warm up");
    let tag = lab.store.tag("prepared");
    lab.builder.prepare(&tag)?;
    let small = lab.repo.small();
    lab.dkr_on(small.path(), "create-image", &[])?;
    lab.store.remove_of_dkr();
    Ok(())
}

fn repetition(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    let progress = format!("repetition {round} of {}", lab.options.reps);
    let before = lab.store.cache();
    lab.store.remove_of_dkr();
    lab.repo.renew(round)?;
    say(&format!("{progress}: first image"));
    create::first(lab, round)?;
    let image = lab.newest(MAIN)?;
    status::measure(lab, status::NEW, "dkr", &image)?;
    let cloned = create::cloned(lab);
    status::measure(lab, status::NEW, "clone", &cloned)?;

    say(&format!("{progress}: second branch, force-push"));
    create::second(lab, round)?;
    create::forced(lab, round)?;
    say(&format!("{progress}: updates"));
    update::measure(lab, round)?;
    let image = lab.newest(MAIN)?;
    status::measure(lab, status::UPDATED, "dkr", &image)?;
    let updated = update::updated_by_hand(lab);
    status::measure(lab, status::UPDATED, "hand", &updated)?;

    if round == lab.options.reps {
        say("start");
        start::measure(lab)?;
        if lab.options.long {
            say("updates in a row");
            long::measure(lab)?;
        }
        say("list");
        list::measure(lab)?;
    }
    lab.store.remove_of_dkr();
    lab.store.forget(&before);
    Ok(())
}

fn report(options: &Options, header: &Header, extent: &Extent, figures: &Figures) -> Result<()> {
    let size = options.size;
    let named = options.repo.as_ref().and_then(|repo| repo.file_name());
    let name = named.map_or(size.name.into(), |name| name.to_string_lossy());
    let large = extent.pack_bytes > 1e9;
    let verdicts = verdicts(figures, large, size.updates, size.lists);
    let report = Report {
        header,
        size: &name,
        reps: options.reps,
        extent,
        figures,
        noise: noise(figures),
        verdicts: &verdicts,
    };
    let mut json = report.to_json();
    let mut text = report.to_text();
    if let Some(against) = &options.against {
        let other = serde_json::from_str(&fs::read_to_string(against)?)?;
        let growth = growth(&json, &other);
        text.push_str("\ngrowth of the first image, seconds a gigabyte\n");
        for (arm, seconds) in &growth {
            text.push_str(&format!("  {arm:6}  {seconds:.2}\n"));
        }
        json["growth"] = growth.into_iter().collect();
    }
    let time = meter::now().round();
    let default = options.out.join(format!("{name}-{time}.json"));
    let file = options.json.as_ref().unwrap_or(&default);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, format!("{json:#}\n"))?;
    write!(std::io::stdout(), "{text}\n{}\n", file.display())?;
    Ok(())
}
