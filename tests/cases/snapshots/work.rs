//! What is said of containers and the work in them, on a real engine.

use super::Transcript;
use crate::cases::containers::baked;
use crate::support::{Repo, Sandbox};

/// A story of containers of one repository, and how it is kept.
struct Story<'a> {
    t: &'a Sandbox,
    repo: Repo,
    transcript: Transcript<'a>,
}

impl<'a> Story<'a> {
    fn new(t: &'a Sandbox) -> Self {
        Story {
            repo: baked(t),
            t,
            transcript: Transcript::on_an_engine(t),
        }
    }

    fn dkr(&mut self, arguments: &[&str]) {
        let dkr = self.t.dkr(arguments).env("USER", "root");
        self.transcript.run(dkr.in_dir(&self.repo));
    }

    /// Starts a container of that name, with a script in it.
    fn start(&mut self, options: &[&str], name: &str, script: &str) {
        let start = ["start-image", ".", "main", "--name", name];
        self.dkr(&[&start, options, &["--", "sh", "-c", script]].concat());
    }
}

#[test]
fn a_container_through_its_life() {
    let t = Sandbox::new();
    let mut story = Story::new(&t);
    let name = &*t.unique("work");
    story.start(&["--detach"], name, "sleep 1000");
    story.start(&["--detach"], name, "sleep 1000");
    story.dkr(&["list-containers", "."]);
    story.dkr(&[
        "exec",
        name,
        "--",
        "sh",
        "-c",
        "echo x >>README; echo y >new",
    ]);
    story.dkr(&["exec", name, "--", "git", "commit", "-qam", "work"]);
    story.dkr(&["exec", name, "--", "sh", "-c", "exit 3"]);
    story.dkr(&["list-containers", "."]);
    story.dkr(&["status"]);
    story.dkr(&["remove-container", name]);
    story.dkr(&["diff", "--stat", name]);
    story.dkr(&["stop", name]);
    story.dkr(&["stop", name]);
    story.dkr(&["remove-container", name]);
    story.dkr(&["attach", name]);
    story.dkr(&["prune", ".", "--yes"]);
    story.dkr(&["take", name]);
    story.dkr(&["take", name]);
    story.dkr(&["remove-container", name]);
    story.dkr(&["list-containers", "."]);
    story.transcript.check("container");
}

#[test]
fn containers_that_end_by_themselves() {
    let t = Sandbox::new();
    let mut story = Story::new(&t);
    let [clean, dirty, failed] = ["clean", "dirty", "failed"].map(|name| t.unique(name));
    story.start(&[], &clean, "true");
    story.start(&[], &failed, "exit 3");
    story.start(
        &[],
        &dirty,
        "echo x >new; git commit -q --allow-empty -m work",
    );
    story.start(&[], &dirty, "echo y >>new");
    story.start(&["--cpus", "2"], &dirty, "true");
    story.dkr(&["remove-container", &dirty]);
    story.dkr(&["remove-container", "--force", &dirty]);
    story.start(&["--keep", "always"], &clean, "true");
    story.dkr(&["remove-container", &clean]);
    story.start(&["--rm"], &clean, "echo x >new");
    story.start(&[], &clean, "git commit -q --allow-empty -m work; git push");
    story.transcript.check("container-ends");
}

#[test]
fn starts_from_an_image_that_is_behind() {
    let t = Sandbox::new();
    let mut story = Story::new(&t);
    story.repo.commits(60);
    let name = t.unique("behind");
    for options in [
        &[][..],
        &["--stale", "fail"],
        &["--stale", "proceed"],
        &["--max-behind", "100"],
        &["--stale", "update"],
    ] {
        story.start(options, &name, "true");
    }
    story.transcript.check("start-stale");
}
