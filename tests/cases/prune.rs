//! `dkr prune`: what goes, what stays, and what the engine itself then says of its disk.

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::{Api, PrivateEngine, Repo, Sandbox};

/// An own engine, as `prune` looks at all images of one, and what is asked of it.
struct Place<'a> {
    t: &'a Sandbox,
    engine: PrivateEngine,
}

impl Place<'_> {
    fn dkr(&self, arguments: &[&str], repo: &Repo) -> crate::support::Invocation {
        let dkr = self.t.dkr(arguments).in_dir(repo);
        dkr.env("DOCKER_HOST", self.engine.host())
    }

    /// All tags of dkr's images that never move, sorted.
    fn own_tags(&self) -> Vec<String> {
        let images = self.engine.api().get("/images/json");
        let tags = images.as_array().unwrap().iter().flat_map(|image| {
            let tags = image["RepoTags"].as_array().cloned().unwrap_or_default();
            tags.into_iter().map(|tag| tag.as_str().unwrap().to_owned())
        });
        let mut tags: Vec<String> = tags.filter(|tag| tag.starts_with("dkr:")).collect();
        tags.sort();
        tags
    }

    fn layers_size(&self) -> u64 {
        layers_size(&self.engine.api())
    }

    /// The own tag of the newest image of a branch.
    fn newest(&self, repo: &Repo, branch: &str) -> String {
        let report = self
            .dkr(&["inspect-image", "--json", ".", branch], repo)
            .success();
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        let tags = report["tags"].as_array().unwrap();
        let tags = tags.iter().map(|tag| tag.as_str().unwrap());
        tags.max_by_key(|tag| tag.len()).unwrap().to_owned()
    }
}

/// Bytes of all layers on an engine, those of its build cache included.
fn layers_size(api: &Api) -> u64 {
    api.get("/system/df")["LayersSize"].as_u64().unwrap()
}

/// Bytes that cannot be compressed, different for each seed.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..400_000).map(|_| next()).collect()
}

#[test]
fn the_newest_of_each_branch_stay_and_the_disk_is_freed() {
    let t = Sandbox::new();
    let engine = PrivateEngine::start(&t);
    let place = Place { t: &t, engine };
    let repo = two_commits(&t, "linux")
        .file("noise", noise(0))
        .commit("noise");
    place
        .dkr(&["prune", "--yes"], &repo)
        .success()
        .stderr_has("nothing to remove");

    // Three bakes of main, each anew, of which a container uses the first; one of a topic.
    let mut bakes = Vec::new();
    for round in 1..=3 {
        repo.file("noise", noise(round)).commit("more noise");
        place.dkr(&["create-image"], &repo).success();
        bakes.push(place.newest(&repo, "main"));
    }
    repo.branch("topic", "main:0");
    place.dkr(&["create-image", ".", "topic"], &repo).success();
    let topic = place.newest(&repo, "topic");
    let body = json!({"Image": bakes[0], "Cmd": ["true"]});
    place
        .engine
        .api()
        .post("/containers/create?name=work", &body);

    // Nothing is removed by looking, or without an answer.
    let before = place.own_tags();
    let look = place
        .dkr(&["prune", "--keep", "1", "--dry-run"], &repo)
        .success();
    assert!(look.stdout.contains(&bakes[1]), "{look}");
    for kept in [&bakes[0], &bakes[2], &topic] {
        assert!(!look.stdout.contains(kept.as_str()), "{look}");
    }
    look.stderr_has("would remove 1 image, ");
    let look = place.dkr(&["prune", "--keep", "1", "--yes"], &repo);
    let look = look.env("DKR_DRY_RUN", "1").success();
    look.stderr_has("would remove 1 image, ");
    let unanswered = place.dkr(&["prune", "--keep", "1"], &repo).failure(4);
    unanswered.stderr_has("--yes");
    place
        .dkr(&["prune"], &repo)
        .success()
        .stderr_has("nothing to remove");
    place
        .dkr(
            &["prune", "--older-than", "1h", "--keep", "0", "--yes"],
            &repo,
        )
        .success();
    assert_eq!(place.own_tags(), before);
    place
        .dkr(&["prune", "--older-than", "1x"], &repo)
        .failure(2);

    // What it says is what the engine has less afterwards.
    let freed = |arguments: &[&str]| {
        let before = place.layers_size();
        let removed = place.dkr(arguments, &repo).success();
        let freed = before - place.layers_size();
        assert!(freed > 400_000, "{freed} bytes: {removed}");
        removed.stderr_has(&format!(", {}\n", in_words(freed)));
        removed
    };
    let removed = freed(&["prune", "--keep", "1", "--yes"]);
    assert_eq!(removed.stdout.lines().count(), 1, "{removed}");
    let left = place.own_tags();
    assert!(!left.contains(&bakes[1]), "{left:?}");
    for kept in [&bakes[0], &bakes[2], &topic] {
        assert!(left.contains(kept), "{kept} should be in {left:?}");
    }

    // Without the container all goes, the objects that everything was built on included.
    place.engine.api().delete("/containers/work");
    let removed = freed(&["prune", "--keep", "0", "--yes"]);
    removed.stderr_has("removed ");
    assert_eq!(place.own_tags(), [""; 0]);
}

/// A size as dkr says it, in this test's range.
fn in_words(bytes: u64) -> String {
    let (unit, divisor) = if bytes < 1_000_000 {
        ("kB", 1e3)
    } else {
        ("MB", 1e6)
    };
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let number = bytes as f64 / divisor;
    if number < 100.0 {
        format!("{number:.1} {unit}")
    } else {
        format!("{number:.0} {unit}")
    }
}

#[test]
fn a_repository_is_pruned_alone_and_chains_stay() {
    let t = Sandbox::new();
    let name = t.unique("linux");
    let repo = two_commits(&t, &name);
    let other = two_commits(&t, &t.unique("other"));
    for repo in [&repo, &other] {
        t.dkr(["create-image"]).in_dir(repo).success();
    }
    repo.file("b", "b").commit("add b");
    t.dkr(["update-image"]).in_dir(&repo).success();
    let images = |repo: &Repo| t.images(repo).len();
    let before = (images(&repo), images(&other));
    let kept = t
        .dkr(["prune", ".", "--keep", "1", "--yes"])
        .in_dir(&repo)
        .success();
    kept.stderr_has("nothing to remove");
    assert_eq!((images(&repo), images(&other)), before);

    // A bake of its own replaces both of the chain.
    repo.file("c", "c").commit("add c");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let newest = t.image(&repo, "main");
    let removed = t
        .dkr(["prune", ".", "--keep", "1", "--force"])
        .in_dir(&repo)
        .success();
    assert_eq!(removed.stdout.lines().count(), 2, "{removed}");
    assert_eq!(t.image(&repo, "main").id(), newest.id());
    assert!(newest.tags().contains(&format!("dkr:{name}-main")));
    assert_eq!(images(&other), before.1);
}

#[test]
fn containers_that_have_ended_go_but_not_with_work() {
    let t = Sandbox::new();
    let engine = PrivateEngine::start(&t);
    let mut place = Place { t: &t, engine };
    let repo = two_commits(&t, "linux");
    place.dkr(&["create-image"], &repo).success();
    let start = |place: &Place<'_>, options: &[&str], script: &str| {
        let arguments = [
            &["start-image", "--network", "host"],
            options,
            &["--", "sh", "-c", script],
        ];
        place.dkr(&arguments.concat(), &repo).success()
    };
    start(&place, &["--name", "kept", "--keep", "always"], "true");
    let look = place.dkr(&["prune", "--dry-run"], &repo).success();
    look.stderr_has("hint: remove it with `dkr remove-container kept`");
    start(&place, &["--name", "work"], "echo x >new");
    let rests = "until [ \"$(wc -l <.git/dkr-started)\" = 2 ]; do sleep 0.1; done; sleep 1000";
    for name in ["empty", "lost"] {
        start(&place, &["--detach", "--name", name], rests);
    }
    start(&place, &["--detach", "--rm", "--name", "dropped"], rests);
    for name in ["lost", "dropped"] {
        let exec = ["exec", name, "--", "sh", "-c", "echo x >new"];
        place.dkr(&exec, &repo).success();
    }
    let look = place.dkr(&["prune", "--dry-run"], &repo).success();
    look.stderr_has("keeping container `work`: it has unsaved work (1 untracked file)");
    look.stderr_has("nothing to remove");

    // The engine crashes and comes back: what ran has ended without a word.
    place.engine.kill();
    place.engine.start_again();
    let pruned = place.dkr(&["prune", "--yes"], &repo).success();
    for stays in [
        "keeping container `work`: it has unsaved work (1 untracked file)",
        "keeping container `kept`: it was started with `--keep always`",
        "keeping container `lost`: it has unsaved work (1 untracked file)",
        "keeping container `dropped`: it has unsaved work (1 untracked file)",
        "removed container `empty`",
    ] {
        pruned.stderr_has(stays);
    }
    assert_eq!(pruned.stdout.lines().count(), 1, "{pruned}");
    place.dkr(&["take", "lost"], &repo).success();
    let pruned = place.dkr(&["prune", "--yes"], &repo).success();
    pruned.stderr_has("removed container `lost`");
    let forced = place
        .dkr(&["prune", "--force", "--keep", "0"], &repo)
        .success();
    forced.stderr_has("removed container `work`");
    forced.stderr_has("removed container `dropped`");
    forced.stderr_has("removed container `kept`");
    assert_eq!(place.own_tags(), [""; 0]);
}
