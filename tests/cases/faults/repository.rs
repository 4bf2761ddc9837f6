//! Repositories that are odd, move, are broken, or belong to somebody else.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{baked, one_error, refused};
use crate::cases::create_image::{conf, two_commits};
use crate::support::{Output, Repo, Sandbox};

/// A dry run needs no engine: the repository is looked at first.
fn dry_run(t: &Sandbox, repo: &Repo, arguments: &[&str]) -> Output {
    let arguments = [&["create-image", "--dry-run"], arguments].concat();
    let before = repo.state();
    let output = t.dkr(arguments).in_dir(repo);
    let output = output.env("DOCKER_HOST", "unix:///nonexistent").run();
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    output
}

#[test]
fn the_longest_branch_name_and_one_that_a_shell_would_run_are_only_names() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    // With `.lock` after it, and what some storage drivers put before a name, this is the limit.
    let long = "b".repeat(245);
    let shell = "a;touch${IFS}canary;$(touch${IFS}/canary)'`touch${IFS}/canary`\"";
    for branch in [long.as_str(), shell] {
        repo.git(["update-ref", &format!("refs/heads/{branch}"), "HEAD"]);
        t.dkr(["create-image", ".", branch]).in_dir(&repo).success();
        let image = t.image(&repo, branch);
        let script = "find / -xdev -name canary | wc -l; git -C /workspace symbolic-ref HEAD";
        let found = image.run_with(&["sh", "-c", script], json!({"Entrypoint": []}));
        assert_eq!(
            found.stdout,
            format!("0\nrefs/heads/{branch}\n"),
            "{found:?}"
        );
        assert!(!repo.path().join("canary").exists());
    }
}

#[test]
fn odd_paths_work_or_are_refused_before_anything_is_done() {
    let t = Sandbox::new();
    for name in ["-leading", "two\nlines", "a:b@c%20d?e#f\"g\\h"] {
        let repo = two_commits(&t, name);
        let above = repo.path().parent().unwrap();
        t.dkr(["create-image", "--", name]).in_dir(above).success();
        let image = t.image(&repo, "main");
        assert_eq!(image.run(["cat", "README"]), "hello\n");
        assert_eq!(image.label("dkr.repo_path"), repo.path().to_str().unwrap());
    }
    let repo = two_commits(&t, "linux");
    let odd: PathBuf = t.path().join(OsString::from_vec(b"not-\xff-utf8".to_vec()));
    fs::rename(repo.path(), &odd).unwrap();
    let output = t.dkr(["create-image"]).in_dir(&odd).failure(2);
    one_error(&output);
    output.stderr_has("UTF-8").stderr_has("hint: ");
}

#[test]
fn a_ref_that_is_two_things_or_nothing_is_refused() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("v1", "main:0").tag("v1");
    let ambiguous = dry_run(&t, &repo, &[".", "v1"]);
    assert_eq!(ambiguous.code, Some(2), "{ambiguous}");
    one_error(&ambiguous);
    ambiguous
        .stderr_has("refs/heads/v1")
        .stderr_has("refs/tags/v1");
    for (full, commit) in [("refs/heads/v1", "main:0"), ("refs/tags/v1", "main:1")] {
        let output = dry_run(&t, &repo, &[".", full]);
        assert_eq!(output.code, Some(0), "{output}");
        assert!(
            output
                .stdout
                .contains(&format!("dkr.commit={}\n", repo.rev(commit)))
        );
    }
    let missing = dry_run(&t, &repo, &[".", "mian"]);
    assert_eq!(missing.code, Some(3), "{missing}");
    one_error(&missing);
    missing
        .stderr_has("`mian`")
        .stderr_has("did you mean `main`?");
}

#[test]
fn a_commit_that_its_branch_leaves_during_the_build_is_built_while_it_exists() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "hello\n");
    repo.file(".dkr.conf", conf("[pre_clone]\nRUN sleep 10\n"))
        .commit("initial");
    repo.file("a.c", "int a;\n").commit("add a");
    let commit = repo.rev("main");
    let mut dkr = t.dkr(["create-image"]).in_dir(&repo).spawn();
    dkr.wait_for_stderr("[pre_clone]");
    repo.reset("main:0")
        .file("b.c", "int b;\n")
        .commit("instead");
    let output = dkr.wait();
    assert_eq!(output.code, Some(0), "{output}");
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.commit"), commit);
    let head = image.run(["git", "-C", "/workspace", "rev-parse", "HEAD"]);
    assert_eq!(head.trim(), commit);
    assert_eq!(image.run(["cat", "a.c"]), "int a;\n");

    let gone = repo.file("c.c", "int c;\n").commit("soon gone").rev("main");
    let full = ["create-image", "--no-cache", "--clone", "full"];
    let mut dkr = t.dkr(full).in_dir(&repo).spawn();
    dkr.wait_for_stderr("[pre_clone]");
    repo.reset("main:0");
    repo.git(["reflog", "expire", "--expire=now", "--all"]);
    repo.git(["gc", "--quiet", "--prune=now"]);
    let output = dkr.wait();
    assert_eq!(output.code, Some(1), "{output}");
    one_error(&output);
    output.stderr_has(&format!("commit {gone} vanished"));
    assert_eq!(baked(&t, &repo).len(), 1);
}

#[test]
fn a_tag_that_somebody_else_moves_or_removes_disturbs_nothing() {
    let t = Sandbox::new();
    let name = t.unique("moved");
    let repo = t.repo(&name).file("README", "hello\n");
    repo.file(".dkr.conf", conf("[post_clone]\nRUN sleep 5\n"))
        .commit("initial");
    let tag = format!("dkr:{name}-main");
    let (_, tag_name) = tag.split_once(':').unwrap();
    let base = t.image_named(crate::support::BASE_IMAGE);
    let api = crate::support::Api::of_machine();

    let mut dkr = t.dkr(["create-image"]).in_dir(&repo).spawn();
    dkr.wait_for_stderr("[post_clone]");
    let moved = format!("/images/{}/tag?repo=dkr&tag={tag_name}", base.id());
    api.post(&moved, &serde_json::Value::Null);
    let output = dkr.wait();
    assert_eq!(
        (output.code, output.stdout.trim()),
        (Some(0), &*tag),
        "{output}"
    );
    let baked = t.image_named(&tag);
    assert_eq!(baked.label("dkr.commit"), repo.rev("main"));

    // Its tag is taken away: it is still listed, under the tag of its own.
    api.post(&moved, &serde_json::Value::Null);
    let list = t
        .dkr(["list-images", "--json", "."])
        .in_dir(&repo)
        .success();
    assert!(
        list.stdout.contains(baked.id()) && !list.stdout.contains(base.id()),
        "{list}"
    );
    assert!(list.stdout.contains(&format!("{tag}-")), "{list}");
    api.delete(&format!("/images/{tag}"));
}

#[test]
fn what_a_repository_can_be_is_supported_or_refused_by_name() {
    let t = Sandbox::new();
    let unborn = t.repo("unborn");
    let output = dry_run(&t, &unborn, &[]);
    assert_eq!(output.code, Some(3), "{output}");
    one_error(&output);
    output.stderr_has("`main`").stderr_has("commit");

    let upstream = two_commits(&t, "upstream");
    for (name, settings, words) in [
        (
            "sha256",
            [
                ("core.repositoryformatversion", "1"),
                ("extensions.objectformat", "sha256"),
            ],
            "sha256",
        ),
        (
            "reftable",
            [
                ("core.repositoryformatversion", "1"),
                ("extensions.refstorage", "reftable"),
            ],
            "reftable",
        ),
        (
            "partial",
            [
                ("remote.origin.promisor", "true"),
                ("remote.origin.partialclonefilter", "blob:none"),
            ],
            "partial clone",
        ),
    ] {
        let repo = upstream.clone_to(name, "origin");
        let before = repo.state();
        let config = repo.path().join(".git/config");
        let was = fs::read(&config).unwrap();
        let file = config.to_str().unwrap();
        for (key, value) in settings {
            upstream.git(["config", "--file", file, key, value]);
        }
        let output = t.dkr(["create-image"]).in_dir(&repo).failure(1);
        one_error(&output);
        output.stderr_has(words).stderr_has("not supported");
        fs::write(&config, was).unwrap();
        assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    }
    let nowhere = t.dkr(["create-image"]).in_dir(t.home()).failure(3);
    one_error(&nowhere);
    nowhere.stderr_has("git repository");
}

#[test]
fn a_submodule_and_a_shallow_clone_are_baked() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let outer = t.repo("outer").file("x", "y").commit("outer");
    let url = upstream.path().to_str().unwrap();
    outer
        .git(["submodule", "--quiet", "add", url, "inner"])
        .commit("module");
    let inner = outer.path().join("inner");
    t.dkr(["create-image"]).in_dir(&inner).success();
    assert_eq!(t.image(&inner, "main").run(["cat", "src/a.c"]), "int a;\n");

    let name = "shallow";
    let path = upstream.path().with_file_name(name);
    let url = format!("file://{url}");
    upstream.git([
        "clone",
        "--quiet",
        "--depth=1",
        &url,
        path.to_str().unwrap(),
    ]);
    let output = t.dkr(["create-image"]).in_dir(&path).success();
    let image = t.image(&path, "main");
    let log = image.run(["git", "-C", "/workspace", "log", "--format=%s"]);
    assert_eq!(log, "add a\n", "{output}");
    assert_eq!(
        image.run(["git", "-C", "/workspace", "status", "--porcelain"]),
        ""
    );
}

#[test]
fn an_operation_under_way_is_warned_of_and_left_alone() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").switch_new("topic", "main:0");
    repo.file("src/a.c", "else\n").commit("conflict");
    let commit = repo.rev("topic");
    let rebase = t
        .command("git", ["rebase", "--quiet", "main"])
        .in_dir(&repo);
    assert_ne!(rebase.run().code, Some(0));
    repo.file(".git/index.lock", "");
    let output = dry_run(&t, &repo, &[".", "topic"]);
    assert_eq!(output.code, Some(0), "{output}");
    output.stderr_has("warning: a rebase is in progress");
    output.stderr_has("index.lock");
    assert!(
        output.stdout.contains(&format!("dkr.commit={commit}\n")),
        "{output}"
    );
}

#[test]
fn a_repository_of_another_user_is_explained_and_works_once_it_is_trusted() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let path = repo.path().to_str().unwrap();
    let own = |owner: &str| {
        t.command("chown", ["-R", owner, path]).success();
    };
    own("12345");
    let config = t.path().join("gitconfig");
    let before = fs::read(&config).unwrap();
    let output = t.dkr(["create-image"]).in_dir(&repo).failure(1);
    one_error(&output);
    output
        .stderr_has("belongs to another user")
        .stderr_has("safe.directory");
    assert_eq!(fs::read(&config).unwrap(), before);

    for trusted in [path, &format!("{path}/.git")] {
        let line = format!("git config --global --add safe.directory {trusted}");
        output.stderr_has(&format!("`{line}`"));
        // libgit2 does not know the variable that puts this file elsewhere, and git on the server
        // reads that one.
        let own_file = t.command("sh", ["-c", &line]);
        own_file.env_remove("GIT_CONFIG_GLOBAL").success();
        t.command("sh", ["-c", &line]).success();
    }
    let full = t.dkr(["create-image", "--clone", "full"]).in_dir(&repo);
    full.success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
    own("0");
}

/// The file of a loose object.
fn loose_object(repo: &Repo, name: &str) -> PathBuf {
    let id = repo.output(["rev-parse", "--verify", name]);
    let (folder, file) = id.split_at(2);
    repo.path().join(".git/objects").join(folder).join(file)
}

/// Writes over the middle of a file that git left read-only.
fn spoil(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().take(20).for_each(|b| *b = !*b);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_broken_repository_is_told_in_gits_own_words_and_nothing_is_tagged() {
    let t = Sandbox::new();
    type Break = fn(&Repo);
    let breaks: [(&str, Break, &str); 3] = [
        (
            "missing",
            |repo| fs::remove_file(loose_object(repo, "main~1^{tree}")).unwrap(),
            "bad tree object",
        ),
        (
            "corrupt",
            |repo| spoil(&loose_object(repo, "main:src/a.c")),
            "is corrupt",
        ),
        (
            "pack",
            |repo| {
                repo.git(["repack", "-adq"]);
                let packs = fs::read_dir(repo.path().join(".git/objects/pack")).unwrap();
                let mut packs = packs.map(|entry| entry.unwrap().path());
                let is_pack = |path: &PathBuf| path.extension().is_some_and(|e| e == "pack");
                spoil(&packs.find(is_pack).unwrap());
            },
            "inflate: data stream error",
        ),
    ];
    for (name, break_it, words) in breaks {
        let noise: Vec<u8> = (0..50_000_u64).map(|i| ((i * i * i) >> 9) as u8).collect();
        let repo = two_commits(&t, name).file("noise", noise).commit("noise");
        break_it(&repo);
        for transport in ["ssh", "session"] {
            for clone in ["packs", "full"] {
                let arguments = ["create-image", "--transport", transport, "--clone", clone];
                let dkr = t.dkr(arguments).in_dir(&repo);
                refused(&t, &repo, dkr, 1, &[words]);
            }
        }
    }

    // A server program that fails before it has said a word.
    let repo = two_commits(&t, "setting");
    repo.git(["config", "uploadpack.keepAlive", "nonsense"]);
    for transport in ["ssh", "session"] {
        let arguments = ["create-image", "--transport", transport, "--clone", "full"];
        let dkr = t.dkr(arguments).in_dir(&repo);
        refused(&t, &repo, dkr, 1, &["bad numeric config value 'nonsense'"]);
    }
}
