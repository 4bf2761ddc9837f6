//! The benchmark of dkr, started by `benches/run.sh`, whose `--help` says what it does.
//!
//! `phases` measures, a file for each thing that is measured; `lab` is what they share: `repo`, the
//! repository; `builds`, the Dockerfiles written by hand; `store` and `container`, the engine by way
//! of `api`; `meter`, what work costs. Everything becomes `figures`, which `verdict` compares with
//! the targets and `report` shows. Nothing outside `sandbox`'s folder and the engine is touched.

mod api;
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
mod sandbox;
mod store;
mod verdict;

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use dkr::engine::Engine;
use dkr::env::Env;

use crate::api::Api;
use crate::builds::Builder;
use crate::figures::Figures;
use crate::header::Header;
use crate::lab::Lab;
use crate::options::Options;
use crate::phases::{create, list, long, start, status, update};
use crate::repo::{Extent, MAIN, Repo};
use crate::report::Report;
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::verdict::{growth, noise, verdicts};

/// Whatever goes wrong ends the benchmark.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    match bench().await {
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

async fn bench() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let sandbox = Sandbox::new()?;
    let engine = Engine::connect(&Env::of_process()).await?;
    let store = Store::new(Api { engine }, sandbox.path()?).await?;
    let measured = tokio::select! {
        measured = measure(&options, &sandbox, &store) => measured,
        () = interrupted() => Err("interrupted".into()),
    };
    say("clean up");
    let cleaned = store.clean_up().await;
    let (extent, figures) = measured?;
    cleaned?;
    let header = Header::new(&options, &sandbox, &store).await?;
    report(&options, &header, &extent, &figures)
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            terminated.recv().await;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        () = terminated => (),
    }
}

async fn measure(options: &Options, sandbox: &Sandbox, store: &Store) -> Result<(Extent, Figures)> {
    say(&format!("make the repository ({})", options.size.name));
    let mut lab = Lab {
        options,
        sandbox,
        store,
        builder: Builder::new(store, sandbox).await?,
        repo: Repo::new(options, sandbox)?,
        figures: Figures::default(),
    };
    let extent = lab.repo.extent()?;
    prepare(&mut lab).await?;
    for round in 1..=options.reps {
        repetition(&mut lab, round).await?;
    }
    Ok((extent, lab.figures))
}

/// Brings into the build cache what does not depend on the repository, in every arm: what installs
/// packages.
async fn prepare(lab: &mut Lab<'_>) -> Result<()> {
    say("warm up");
    let tag = lab.store.tag("prepared");
    lab.builder.prepare(&tag).await?;
    let small = lab.repo.small()?;
    lab.dkr_on(&small, "create-image", &[])?;
    lab.store.remove_of_dkr().await
}

async fn repetition(lab: &mut Lab<'_>, round: usize) -> Result<()> {
    let progress = format!("repetition {round} of {}", lab.options.reps);
    let before = lab.store.cache().await?;
    lab.store.remove_of_dkr().await?;
    lab.repo.renew(round)?;
    say(&format!("{progress}: first image"));
    create::first(lab, round).await?;
    let image = lab.newest(MAIN).await?;
    status::measure(lab, status::NEW, "dkr", &image).await?;
    let cloned = create::cloned(lab);
    status::measure(lab, status::NEW, "clone", &cloned).await?;

    say(&format!("{progress}: second branch, force-push"));
    create::second(lab, round).await?;
    create::forced(lab, round).await?;
    say(&format!("{progress}: updates"));
    update::measure(lab, round).await?;
    let image = lab.newest(MAIN).await?;
    status::measure(lab, status::UPDATED, "dkr", &image).await?;
    let updated = update::updated_by_hand(lab);
    status::measure(lab, status::UPDATED, "hand", &updated).await?;

    if round == lab.options.reps {
        say("start");
        start::measure(lab).await?;
        if lab.options.long {
            say("updates in a row");
            long::measure(lab).await?;
        }
        say("list");
        list::measure(lab).await?;
    }
    lab.store.remove_of_dkr().await?;
    lab.store.forget(&before).await
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
