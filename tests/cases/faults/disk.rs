//! Full disks, and an engine that dies in the middle of a build.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{baked, one_error};
use crate::cases::create_image::{conf, two_commits};
use crate::support::{Image, PrivateEngine, Repo, Sandbox, wait_until};

fn images(t: &Sandbox, engine: &PrivateEngine, repo: &Repo) -> Vec<Image> {
    let filter = json!({"label": [format!("dkr.repo_path={}", repo.path().display())]});
    let mut images = Image::matching(&engine.api(), &filter, t.path());
    images.retain(|image| image.label("dkr.type") != "objects");
    images
}

#[test]
fn an_engine_whose_disk_is_full_or_that_dies_is_an_error_and_works_again_later() {
    let t = Sandbox::new();
    let mut engine = PrivateEngine::with_disk(&t, "700m");
    let host = engine.host();
    let repo = t.repo("linux").file("README", "hello\n");
    let fill = "[post_clone]\nRUN dd if=/dev/zero of=/big bs=1M count=900\n";
    repo.file(".dkr.conf", conf(fill)).commit("too much");
    repo.git(["repack", "-adq"]);
    let before = repo.state();
    let create = || {
        t.dkr(["create-image"])
            .in_dir(&repo)
            .env("DOCKER_HOST", &host)
    };
    // A pack of nothing but a size: whether it can be read is asked when it has been copied.
    let index = format!(".git/objects/pack/pack-{}.idx", "0".repeat(40));
    let large = repo.path().join(&index).with_extension("pack");
    repo.file(&index, "");
    File::create(&large).unwrap().set_len(900 << 20).unwrap();
    create()
        .failure(1)
        .stderr_has("not enough space for the image");
    let forced = t.dkr(["create-image", "--force"]).in_dir(&repo);
    let output = forced.env("DOCKER_HOST", &host).failure(1);
    one_error(&output);
    output.stderr_has("the engine's disk is full");
    assert!(images(&t, &engine, &repo).is_empty());
    fs::remove_file(large).unwrap();
    fs::remove_file(repo.path().join(&index)).unwrap();

    let output = create().failure(1);
    one_error(&output);
    output.stderr_has("No space left on device");
    output.stderr_has("[post_clone], line 3 of `.dkr.conf`");
    assert!(images(&t, &engine, &repo).is_empty());
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    let is_tidied = || engine.room() > 100 << 20;
    assert!(wait_until(Duration::from_secs(120), is_tidied));

    repo.file(".dkr.conf", conf("[post_clone]\nRUN sleep 5\n"))
        .commit("slow");
    let mut dkr = create().spawn();
    dkr.wait_for_stderr("[post_clone]");
    engine.kill();
    let killed = Instant::now();
    let output = dkr.wait();
    assert!(killed.elapsed() < Duration::from_secs(15), "{output}");
    assert_eq!(output.code, Some(1), "{output}");
    one_error(&output);
    output.stderr_has("went away").stderr_has("hint: ");

    engine.start_again();
    create().success();
    assert_eq!(
        images(&t, &engine, &repo)[0].run(["cat", "README"]),
        "hello\n"
    );
}

#[test]
fn a_full_disk_of_the_host_stops_no_bake_of_a_local_branch() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let dkr = env!("CARGO_BIN_EXE_dkr");
    // Whoever writes a byte into a file is killed.
    let limited = t.command("prlimit", ["--fsize=0", dkr, "create-image"]);
    let limited = limited.env("DKR_SSH_PORT", t.sshd().port().to_string());
    limited.in_dir(&repo).success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");

    // No folder for the lock: said before anything is built.
    let file = t.path().join("file");
    std::fs::write(&file, "").unwrap();
    repo.file("b", "b").commit("add b");
    let dkr = t.dkr(["create-image"]).in_dir(&repo);
    let dkr = dkr
        .env("XDG_RUNTIME_DIR", &file)
        .env("XDG_STATE_HOME", &file);
    let output = dkr.env("TMPDIR", &file).failure(1);
    one_error(&output);
    output.stderr_has("lock").stderr_has("XDG_RUNTIME_DIR");
    assert_eq!(baked(&t, &repo).len(), 1);
}

#[test]
fn a_build_cache_that_is_collected_between_two_builds_makes_nothing_stale() {
    let t = Sandbox::new();
    let engine = PrivateEngine::start(&t);
    let repo = two_commits(&t, "linux");
    let dkr = |command: &str| {
        let dkr = t.dkr([command, "--transport", "session"]).in_dir(&repo);
        dkr.env("DOCKER_HOST", engine.host()).success()
    };
    let newest = |words: &str| {
        let image = images(&t, &engine, &repo).remove(0);
        assert_eq!(image.label("dkr.commit"), repo.rev("main"));
        assert_eq!(image.run(["cat", "README"]), words);
    };
    let prune = || engine.api().post("/build/prune?all=1", &Value::Null);
    dkr("create-image");
    prune();
    repo.file("README", "newer\n").commit("newer");
    dkr("update-image");
    newest("newer\n");
    // What the images are built on goes, too, and the same is baked once more.
    prune();
    repo.file("README", "newest\n").commit("newest");
    dkr("create-image");
    newest("newest\n");
    prune();
    repo.reset("main~1");
    dkr("create-image");
    newest("newer\n");
}
