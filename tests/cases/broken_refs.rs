//! A repository with refs that are broken: they are ignored and named, and everything else works.

use std::fs;

use super::containers::{detached, inside, row};
use super::create_image::two_commits;
use super::packs::whole;
use super::start_image::{hostname, start};
use crate::support::{Output, Repo, Sandbox};

const GONE: &str = "1111111111111111111111111111111111111111";

/// Gives the repository a broken ref of each kind; their names in the order of the warning.
fn break_refs(repo: &Repo) -> [&'static str; 5] {
    let refs = repo.path().join(".git/refs");
    let main = repo.rev("main");
    fs::copy(
        refs.join("heads/main"),
        refs.join("heads/main (conflicted copy)"),
    )
    .unwrap();
    fs::write(refs.join("heads/broken"), "").unwrap();
    fs::write(refs.join("tags/gone"), GONE).unwrap();
    repo.git(["symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere"]);
    let packed = format!("# pack-refs with: \n{main} refs/tags/v1 (copy)\n{main} refs/tags/v2\n");
    fs::write(repo.path().join(".git/packed-refs"), packed).unwrap();
    [
        "`refs/heads/broken` (does not contain an object id)",
        "`refs/heads/dangling` (points to a ref that does not exist)",
        "`refs/heads/main (conflicted copy)` (not a valid ref name)",
        "`refs/tags/gone` (its object is missing)",
        "`refs/tags/v1 (copy)` (not a valid ref name)",
    ]
}

/// The output must name the broken refs in one warning.
fn names(output: &Output, repo: &Repo, broken: &[&str]) {
    let path = repo.path().display();
    let broken = broken.join(", ");
    let warning = format!("warning: ignoring 5 broken refs of `{path}`: {broken}\n");
    assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
}

/// Bakes, updates, starts, fetches all, and pushes.
fn everything_works(t: &Sandbox, repo: &Repo, transport: &str, clone: &[&'static str]) {
    let broken = break_refs(repo);
    let build = |command: &'static str, more: &[&'static str]| {
        let arguments = [&[command, "--transport"], more].concat();
        let (first, rest) = arguments.split_at(2);
        let arguments = [first, &[transport], rest].concat();
        let output = t.dkr(arguments).in_dir(repo).success();
        names(&output, repo, &broken);
    };
    build("create-image", clone);
    whole(&t.image(repo, "main"));
    repo.file("b.c", "int b;\n").commit("add b");
    build("update-image", &[]);
    let held = t.image(repo, "main").run(["git", "for-each-ref"]);
    let names_inside = ["refs/remotes/host/main", "refs/tags/v2"];
    assert!(
        names_inside.iter().all(|name| held.contains(name)),
        "{held}"
    );
    let left_out = ["conflicted", "(copy)", "gone", "dangling", "broken"];
    assert!(!left_out.iter().any(|name| held.contains(name)), "{held}");

    repo.file("c.c", "int c;\n").commit("add c");
    let name = t.unique("work");
    let script = "cat c.c && git fetch host && git commit -q --allow-empty -m work && git push -q";
    let options = ["--name", &name, "--transport", transport];
    let output = start(t, repo, &options, &["sh", "-ec", script]).success();
    names(&output, repo, &broken);
    assert_eq!(output.stdout, "int c;\n");
    let pushed = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "-1", "--format=%s", &pushed]), "work");
}

#[test]
fn broken_refs_of_the_host_are_left_out_and_named_over_the_session_and_the_channel() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    everything_works(&t, &repo, "session", &[]);

    let name = t.unique("taken");
    detached(&t, &repo, &name);
    inside(
        &t,
        &name,
        "echo new >new; git commit -q --allow-empty -m one",
    );
    let output = t.dkr(["take", &name]).success();
    let broken = break_refs(&repo);
    names(&output, &repo, &broken);
    assert!(output.stdout.contains(&name), "{output}");
    assert_eq!(row(&t, &name)["work"]["safe"], true);
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_broken_head_is_refused_by_name_and_a_start_says_what_it_means() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let head = repo.path().join(".git/HEAD");
    let good = fs::read(&head).unwrap();
    let path = repo.path().display();
    let cannot = format!("cannot use the repository at `{path}`");
    let cause = "its HEAD is broken: it names neither a branch nor a commit";
    for broken in ["", "main\n", "ref: heads/main\n"] {
        fs::write(&head, broken).unwrap();
        for command in ["create-image", "update-image"] {
            let output = t.dkr([command]).in_dir(&repo).failure(1);
            output.stderr_has(&format!("error: {cannot}\n  caused by: {cause}\n"));
        }
        let output = start(&t, &repo, &[], &["true"]).run();
        output.stderr_has(cause);
    }
    fs::write(&head, good).unwrap();
    for (branch, words) in [
        ("broken", "cannot read `refs/heads/broken`"),
        ("bad name", "is not a valid ref name"),
    ] {
        fs::write(repo.path().join(".git/refs/heads").join(branch), "").unwrap();
        fs::write(&head, format!("ref: refs/heads/{branch}\n")).unwrap();
        let output = t.dkr(["create-image"]).in_dir(&repo).failure(1);
        output.stderr_has(words);
    }
}

#[test]
fn broken_refs_of_the_host_are_left_out_and_named_over_ssh() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    everything_works(&t, &repo, "ssh", &["--clone", "full"]);
}
