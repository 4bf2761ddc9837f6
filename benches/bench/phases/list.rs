//! `dkr list-images` with few and with many images.

use std::time::Instant;

use serde_json::{Value, json};
use testkit::SANDBOX_LABEL;

use crate::Result;
use crate::figures::Measure;
use crate::lab::Lab;
use crate::meter;
use crate::repo::MAIN;
use crate::store::{TAGS, pairs, text};

/// How often images are listed.
const TIMES: usize = 10;
/// The name of the repository that they are of.
const REPO: &str = "bench";
/// Two blocks of zeros are an archive without files.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// The name of the phase with so many images.
pub fn phase(images: usize) -> String {
    let plural = if images == 1 { "" } else { "s" };
    format!("list: {images} image{plural}")
}

/// Lists dkr's images, of which there are as many as the phase says or, on an engine that others
/// use too, at least those that were there.
pub fn measure(lab: &mut Lab<'_>) -> Result<()> {
    lab.store.remove_of_dkr();
    let container = empty_container(lab);
    let there = lab.store.labelled().len();
    let mut made = 0;
    for wanted in lab.options.size.lists {
        while there + made < *wanted {
            made += 1;
            add(lab, &container, made);
        }
        list(lab, there + made, made)?;
    }
    let path = format!("/containers/{container}?force=1");
    lab.store.api.delete(&path);
    Ok(())
}

/// Lists `images`, of which `made` are the benchmark's: a figure counts only if they are shown.
fn list(lab: &mut Lab<'_>, images: usize, made: usize) -> Result<()> {
    let phase = phase(images);
    for _ in 0..TIMES {
        let began = Instant::now();
        lab.store.labelled();
        let wall = began.elapsed().as_secs_f64();
        lab.figures.add(&phase, "engine", Measure::Wall, wall);
        let ended = meter::run(lab.sandbox.dkr(["list-images"]).into_command())?;
        let rows = ended.stdout.lines().filter(|row| row.contains(REPO));
        let shown = rows.count();
        if shown < made {
            let reason = format!("{shown} of {made} images were listed: {}", ended.stderr);
            lab.figures.void(&phase, "dkr", reason);
            continue;
        }
        lab.figures.add(&phase, "dkr", Measure::Wall, ended.wall);
        lab.figures
            .add(&phase, "dkr", Measure::Memory, ended.memory);
    }
    Ok(())
}

/// A container of an image that holds nothing; images are made of it.
fn empty_container(lab: &Lab<'_>) -> String {
    let tag = lab.store.tag("empty");
    let label = format!("LABEL {SANDBOX_LABEL}={}", lab.sandbox.path().display());
    let query = pairs(&[
        ("fromSrc", "-"),
        ("repo", TAGS),
        ("tag", &lab.sandbox.unique("empty")),
        ("changes", &label),
    ]);
    let api = &lab.store.api;
    api.post_tar(&format!("/images/create?{query}"), &EMPTY_TAR);
    let body = json!({"Image": tag, "Cmd": ["none"]});
    text(&api.post("/containers/create", &body)["Id"])
}

/// Adds an image with the labels and the own tag of one that dkr baked (docs/image-contract.md).
fn add(lab: &Lab<'_>, container: &str, number: usize) {
    let (path, commit) = (lab.repo.path(), format!("{number:040x}"));
    let own_tag = format!("{REPO}-{MAIN}-{number:06x}");
    let body: Value = json!({"Cmd": ["none"], "Labels": {
        "dkr.repo_path": path, "dkr.repo_name": REPO,
        "dkr.branch": MAIN, "dkr.branch_from": MAIN, "dkr.ref": format!("refs/heads/{MAIN}"),
        "dkr.commit": commit, "dkr.created_at": "1970-01-01T00:00:00.000Z", "dkr.type": "base",
        "dkr.parent": "", "dkr.config": "", "dkr.version": "0.1.0", "dkr.schema": "1",
    }});
    let query = pairs(&[("container", container), ("repo", "dkr"), ("tag", &own_tag)]);
    lab.store.api.post(&format!("/commit?{query}"), &body);
}
