//! "Did you mean": for commands, refs, and the names of images and containers.

use super::create_image::two_commits;
use super::stocked;
use crate::support::Sandbox;

#[test]
fn a_mistyped_command_gets_the_nearest_one() {
    let t = Sandbox::new();
    for (typed, meant) in [
        ("inti", "init"),
        ("create-imag", "create-image"),
        ("lst-images", "list-images"),
        ("statsu", "status"),
    ] {
        t.dkr([typed]).failure(2).stderr_has(&format!("'{meant}'"));
    }
    t.dkr(["list-images", "--jsn"])
        .failure(2)
        .stderr_has("'--json'");
}

#[test]
fn a_word_that_a_flag_does_not_take_is_refused_before_anything_else() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    for flag in ["--transport", "--build-network", "--clone", "--progress"] {
        for command in ["create-image", "update-image"] {
            let dkr = t.dkr([command, "--dry-run", flag, "x"]).in_dir(&repo);
            let output = dkr.failure(2);
            let refused = format!("error: invalid value `x` for `{flag}`: expected");
            assert!(output.stderr.starts_with(&refused), "{output}");
        }
    }
    let nowhere = |arguments: &[&str]| {
        let dkr = t.dkr(arguments).in_dir(&repo);
        dkr.env("DOCKER_HOST", "unix:///nonexistent").failure(2)
    };
    let both = ["--transport", "session", "--ssh-key", "key"];
    for command in ["create-image", "update-image", "start-image"] {
        let refused = nowhere(&[&[command], &both[..]].concat());
        refused.stderr_has("`--ssh-key` cannot be used with `--transport session`");
    }
    let refused = nowhere(&["start-image", "--network", "container:x", "--", "true"]);
    refused.stderr_has("invalid value `container:x` for `--network`");
    // Whether there is a key that would be used with it or not.
    for (variable, value) in [
        ("DKR_SSH_PORT", "x"),
        ("DKR_SSH_PORT", "0"),
        ("DKR_SSH_HOST", "-x"),
    ] {
        for command in ["create-image", "update-image"] {
            let dkr = t.dkr([command, "--dry-run"]).env(variable, value);
            let output = dkr.in_dir(&repo).failure(2);
            let refused = format!("error: invalid value `{value}` for ");
            assert!(output.stderr.starts_with(&refused), "{output}");
        }
    }
}

#[test]
fn a_mistyped_ref_gets_the_nearest_one_in_every_command() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream").branch("devel", "main:0");
    let repo = two_commits(&t, "linux")
        .branch("master", "main:1")
        .branch("unbaked", "main:1")
        .remote("space", &upstream);
    repo.git(["fetch", "-q", "space"]);
    let engine = stocked::engine(&t, &repo, &["master", "space/devel", "gone"], &[]);
    let dkr = |arguments: &[&str]| {
        let dkr = t.dkr(arguments).in_dir(&repo);
        dkr.env("DOCKER_HOST", engine.host())
    };
    for command in [
        "create-image",
        "update-image",
        "start-image",
        "inspect-image",
    ] {
        for (typed, meant) in [
            ("mastr", "master"),
            ("refs/heads/maser", "refs/heads/master"),
        ] {
            let rest: &[&str] = match command {
                "start-image" => &["--", "true"],
                _ => &[],
            };
            let output = dkr(&[&[command, ".", typed], rest].concat()).failure(3);
            output.stderr_has(&format!("`{typed}`"));
            output.stderr_has(&format!("hint: did you mean `{meant}`?"));
        }
    }
    // A branch of a remote: git asks that for it, and says no.
    let output = dkr(&["create-image", ".", "space/devle"]).failure(3);
    output.stderr_has("has no branch `devle`");
    output.stderr_has("hint: did you mean `space/devel`?");
    let output = dkr(&["start-image", ".", "space/devle", "--", "true"]).failure(3);
    output.stderr_has("hint: did you mean `space/devel`?");
    // An image may be of a branch that is gone from the repository.
    let output = dkr(&["inspect-image", ".", "gonne"]).failure(3);
    output.stderr_has("hint: did you mean `gone`?");

    // A listing of nothing is no failure.
    for options in [&["list-images"][..], &["list-images", "-q"]] {
        let output = dkr(&[options, &[".", "mastr"]].concat()).success();
        assert_eq!(output.stdout, "");
        let path = repo.path().display();
        assert_eq!(
            output.stderr,
            format!("there is no image of `mastr` in `{path}`\nhint: did you mean `master`?\n")
        );
    }

    // What exists and is only not baked is not mistyped.
    let path = repo.path().display();
    for command in ["inspect-image", "update-image"] {
        let output = dkr(&[command, ".", "unbaked"]).failure(3);
        output.stderr_has(&format!("hint: run `dkr create-image {path} unbaked`"));
        assert!(!output.stderr.contains("did you mean"), "{output}");
    }
    // A ref where a repository belongs.
    let output = dkr(&["create-image", "master"]).failure(3);
    output.stderr_has("`master` is a ref of the current repository");
    output.stderr_has("as in `. master`");
}

#[test]
fn a_mistyped_name_of_an_image_or_a_container_gets_the_nearest_one() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &["main"], &["fix/parser", "candid-sparrow"]);
    let dkr = |arguments: &[&str]| {
        let dkr = t.dkr(arguments).in_dir(&repo);
        dkr.env("DOCKER_HOST", engine.host())
    };
    for arguments in [
        &["inspect-image", "linux-mian"][..],
        &["remove-image", "linux-mian"],
        &["remove-image", "dkr:linux-main", "dkr:linux-mian"],
        &["doctor", "--image", "linux-mian"],
    ] {
        let output = dkr(arguments).failure(3);
        output.stderr_has("error: no dkr image named `");
        output.stderr_has("hint: did you mean `dkr:linux-main`?");
    }
    for arguments in [
        &["attach", "candid-sparow"][..],
        &["exec", "candid-sparow", "--", "true"],
        &["stop", "candid-sparow"],
        &["stop", "fix/parser", "candid-sparow"],
        &["rm", "candid-sparow"],
        &["take", "candid-sparow"],
        &["diff", "candid-sparow"],
    ] {
        let output = dkr(arguments).failure(3);
        output.stderr_has("error: no dkr container named `candid-sparow`");
        output.stderr_has("hint: did you mean `candid-sparrow`?");
        assert_eq!(output.stdout, "", "{output}");
    }
    let changed = engine.requests().into_iter();
    let changed: Vec<_> = changed.filter(|request| request.method != "GET").collect();
    assert!(
        changed
            .iter()
            .all(|request| request.path.starts_with("/session")),
        "{changed:?}"
    );
}

#[test]
fn a_start_says_if_the_newest_image_is_not_of_what_head_is_on() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main:1");
    let said = |refs: &[&str], arguments: &[&str]| {
        let engine = stocked::engine(&t, &repo, refs, &[]);
        let arguments = [&["start-image"], arguments, &["--", "true"]].concat();
        let dkr = t.dkr(arguments).in_dir(&repo);
        // It goes as far as making the container, which this engine cannot.
        let output = dkr.env("DOCKER_HOST", engine.host()).failure(3);
        let first = output.stderr.lines().next().unwrap_or_default().to_owned();
        first.starts_with("using the newest image").then_some(first)
    };
    let path = repo.path().display();
    let older = format!(
        "using the newest image, of `topic`; HEAD is on `main`, whose image is older \
         (use it with `dkr start-image {path} main`)"
    );
    assert_eq!(said(&["main", "topic"], &["."]), Some(older));
    let none = format!(
        "using the newest image, of `topic`; HEAD is on `main`, which has no image \
         (bake one with `dkr create-image {path} main`)"
    );
    assert_eq!(said(&["topic"], &["."]), Some(none));
    // Nothing is said of what was asked for, or is as expected.
    assert_eq!(said(&["topic", "main"], &["."]), None);
    assert_eq!(said(&["main", "topic"], &[".", "topic"]), None);
    assert_eq!(said(&["main", "topic"], &[]), None);
    repo.git(["checkout", "-q", "--detach"]);
    let commit = repo.rev("main");
    let detached = said(&["main"], &["."]).unwrap();
    let at = format!(
        "of `main`; HEAD is at {}, which has no image",
        &commit[..10]
    );
    assert!(detached.contains(&at), "{detached}");
}

#[test]
fn a_hint_with_a_path_can_be_pasted_into_a_shell() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "my repo").branch("it's", "main:1");
    let engine = stocked::engine(&t, &repo, &["main"], &[]);
    let dkr = |arguments: &[&str]| {
        let dkr = t.dkr(arguments).in_dir(&repo);
        dkr.env("DOCKER_HOST", engine.host())
    };
    let output = dkr(&["update-image", ".", "it's"]).failure(3);
    let hint = output
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("hint: run `"));
    let line = hint.and_then(|hint| hint.strip_suffix('`')).unwrap();
    let words = "for word in \"$@\"; do echo \"$word\"; done";
    let line = line.replace("dkr create-image", "set --");
    let typed = t
        .command("sh", ["-c", &format!("{line}; {words}")])
        .success();
    let path = repo.path().display();
    assert_eq!(typed.stdout, format!("{path}\nit's\n"));
}
