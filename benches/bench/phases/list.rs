//! `dkr list-images` with few and with many images.

use std::time::Instant;

use chrono::DateTime;
use dkr::image::{ImageType, Labels};
use serde_json::{Value, json};

use crate::Result;
use crate::api::{full, query};
use crate::figures::Measure;
use crate::lab::Lab;
use crate::meter;
use crate::repo::MAIN;
use crate::store::{LABEL, TAGS, text};

/// How often images are listed.
const TIMES: usize = 10;

/// The name of the phase with so many images.
pub fn phase(images: usize) -> String {
    let plural = if images == 1 { "" } else { "s" };
    format!("list: {images} image{plural}")
}

/// Lists dkr's images, of which there are as many as the phase says or, on an engine that others
/// use too, at least those that were there.
pub async fn measure(lab: &mut Lab<'_>) -> Result<()> {
    lab.store.remove_of_dkr().await?;
    let container = empty_container(lab).await?;
    let there = lab.store.labelled().await?.len();
    let mut made = 0;
    for wanted in lab.options.size.lists {
        while there + made < *wanted {
            made += 1;
            add(lab, &container, made).await?;
        }
        list(lab, there + made).await?;
    }
    let path = format!("/containers/{container}?force=1");
    lab.store.api.delete(&path).await
}

async fn list(lab: &mut Lab<'_>, images: usize) -> Result<()> {
    let phase = phase(images);
    for _ in 0..TIMES {
        let began = Instant::now();
        lab.store.labelled().await?;
        let wall = began.elapsed().as_secs_f64();
        lab.figures.add(&phase, "engine", Measure::Wall, wall);
        let mut dkr = lab.sandbox.command(lab.options.bin.join("dkr"));
        dkr.arg("list-images");
        let ended = meter::run(dkr)?;
        lab.figures.add(&phase, "dkr", Measure::Wall, ended.wall);
        lab.figures
            .add(&phase, "dkr", Measure::Memory, ended.memory);
    }
    Ok(())
}

/// A container of an image that holds nothing; images are made of it.
async fn empty_container(lab: &Lab<'_>) -> Result<String> {
    let tag = lab.store.tag("empty");
    let (_, name) = tag.split_once(':').ok_or("a tag without a name")?;
    let label = format!("LABEL {LABEL}={}", lab.store.run);
    let pairs = [
        ("fromSrc", "-"),
        ("repo", TAGS),
        ("tag", name),
        ("changes", &label),
    ];
    let path = format!("/images/create?{}", query(&pairs));
    // Two blocks of zeros are an archive without files.
    let archive = full(vec![0; 1024]);
    let api = &lab.store.api;
    api.bytes("POST", &path, "application/x-tar", archive)
        .await?;
    let body = json!({"Image": tag, "Cmd": ["none"]});
    let made = api.post("/containers/create", &body).await?;
    Ok(text(&made["Id"]))
}

/// Adds an image with the labels of one that dkr baked.
async fn add(lab: &Lab<'_>, container: &str, number: usize) -> Result<()> {
    let labels = Labels {
        repo_path: lab.repo.path().to_string_lossy().into_owned(),
        repo_name: "bench".to_owned(),
        branch: MAIN.to_owned(),
        branch_from: MAIN.to_owned(),
        ref_name: format!("refs/heads/{MAIN}"),
        commit: format!("{number:040x}"),
        created_at: DateTime::UNIX_EPOCH,
        image_type: ImageType::Base,
        parent: None,
        config: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        source: None,
    };
    let tag = lab.store.tag(&format!("list{number}"));
    let (_, name) = tag.split_once(':').ok_or("a tag without a name")?;
    let pairs = [("container", container), ("repo", TAGS), ("tag", name)];
    let path = format!("/commit?{}", query(&pairs));
    let mut labels = labels.to_map();
    labels.insert(LABEL.to_owned(), lab.store.run.clone());
    let body: Value = json!({"Labels": labels, "Cmd": ["none"]});
    lab.store.api.post(&path, &body).await.map(drop)
}
