//! What dkr must survive: every fault of `docs/dev/faults.md` that no unit test shows whole.
//!
//! Whatever the fault, dkr says one thing in one line, exits with another code than 0, leaves the
//! user's repository as it was and no image behind. The sandbox adds that no process, socket or
//! temporary file is left.

mod canaries;
mod conf;
mod containers;
mod disk;
mod engine;
mod far_engine;
mod interrupts;
mod registry;
mod repository;
mod secrets;
mod stream;
mod surroundings;
mod terminal;

use crate::support::{Image, Invocation, Output, Repo, Sandbox};

/// Runs dkr on `repo`: it must refuse with `code` and say `words`, and change nothing.
fn refused(t: &Sandbox, repo: &Repo, dkr: Invocation, code: i32, words: &[&str]) -> Output {
    let before = repo.state();
    let output = dkr.failure(code);
    words.iter().for_each(|text| {
        output.stderr_has(text);
    });
    one_error(&output);
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    assert!(baked(t, repo).is_empty(), "an image is left: {output}");
    output
}

/// The images of a repository's branches, newest first.
fn baked(t: &Sandbox, repo: &Repo) -> Vec<Image> {
    let mut images = t.images(repo);
    images.retain(|image| image.label("dkr.type") != "objects");
    images
}

/// There is one error, and it is no panic.
fn one_error(output: &Output) {
    let lines = output.stderr.lines();
    let errors = lines.filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{output}");
    assert!(!output.stderr.contains("panicked"), "{output}");
    assert_eq!(output.stdout, "", "{output}");
}
