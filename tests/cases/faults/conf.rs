//! A `.dkr.conf` that is not what it should be: refused with its line before an engine is asked.

use super::one_error;
use crate::cases::create_image::conf;
use crate::support::{BASE_IMAGE, Output, Repo, Sandbox};

/// What a dry run says, without an engine: whatever is wrong has to show before one is asked.
fn dry_run(t: &Sandbox, repo: &Repo) -> Output {
    let dkr = t.dkr(["create-image", "--dry-run"]).in_dir(repo);
    let before = repo.state();
    let output = dkr.env("DOCKER_HOST", "unix:///nonexistent").run();
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
    output
}

#[test]
fn a_missing_or_empty_configuration_means_the_defaults() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "x").commit("none");
    let check = |first: &str| {
        let output = dry_run(&t, &repo);
        assert_eq!(output.code, Some(0), "{output}");
        assert!(
            output.stdout.starts_with(&format!("FROM {first}\n")),
            "{output}"
        );
    };
    check("fedora:43");
    repo.file(".dkr.conf", "").commit("empty");
    check("fedora:43");
    // A byte order mark and line ends of Windows change nothing.
    let windows = format!("\u{feff}base_image = {BASE_IMAGE}\r\n[post_clone]\r\nRUN id\r\n");
    repo.file(".dkr.conf", windows).commit("windows");
    check(BASE_IMAGE);
    // What the work tree holds does not matter.
    repo.file(".dkr.conf", "base_image = $(touch canary)\n");
    check(BASE_IMAGE);
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_its_line() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "x").commit("initial");
    let huge = "# x\n".repeat(10 << 18);
    let many = [
        (huge.as_bytes(), "10485760 bytes"),
        (b"base_image = x\n\x00\x7fELF\n", "line 2"),
        (b"base_image = \xff\xfe\n", "UTF-8"),
        (b"\nbase_image = x\rRUN id\n", "line 2"),
        (b"packages = a\0b\n", "line 1"),
        // What looks like one value of two lines is a value and a line that says nothing.
        (b"base_image = x\nRUN id\n", "line 2"),
        (b"base_image = --platform=linux/arm64 x\n", "--platform"),
        (b"base_image = $VAR\n", "$VAR"),
        (b"base_image = ${VAR:-x}\n", "${VAR:-x}"),
        (b"base_image =\n", "line 1"),
        (b"base_image = x AS y\n", "x AS y"),
        (b"base_image = # syntax=evil/f\n", "# syntax=evil/f"),
        (b"[post_clone]\nFROM evil\n", "line 2"),
        (
            b"[post_clone]\nRUN id\nLABEL a=b \\\n  \"dkr.type\"=base\n",
            "line 3",
        ),
        (b"[pre_clone]\nRUN --mount=type=ssh id\n", "line 2"),
    ];
    for (text, words) in many {
        repo.file(".dkr.conf", text).commit("broken");
        let output = dry_run(&t, &repo);
        assert_eq!(output.code, Some(2), "{output}");
        one_error(&output);
        output.stderr_has(words).stderr_has(".dkr.conf");
        assert!(output.stderr.len() < 1000, "{output}");
    }
}

#[test]
fn a_configuration_that_is_no_file_is_refused() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "x");
    let secret = t.path().join("secret");
    std::fs::write(&secret, "base_image = canary\n").unwrap();
    repo.symlink(".dkr.conf", secret.to_str().unwrap())
        .commit("link");
    let check = |words: &str| {
        let output = dry_run(&t, &repo);
        assert_eq!(output.code, Some(2), "{output}");
        one_error(&output);
        output.stderr_has(words).stderr_has(".dkr.conf");
        assert!(!output.stderr.contains("canary"));
    };
    check("a symbolic link");
    repo.remove(".dkr.conf")
        .file(".dkr.conf/x", "y")
        .commit("folder");
    check("a directory");
    std::fs::remove_dir_all(repo.path().join(".dkr.conf")).unwrap();
    let commit = repo.rev("HEAD");
    let entry = format!("160000,{commit},.dkr.conf");
    repo.git(["rm", "-q", "-r", "--cached", ".dkr.conf"]);
    repo.git(["update-index", "--add", "--cacheinfo", &entry]);
    repo.git(["commit", "--quiet", "-m", "module"]);
    check("a submodule");
}

#[test]
fn what_looks_like_a_directive_of_the_dockerfile_is_none() {
    let t = Sandbox::new();
    // If one of them counted, another program would be fetched to read the Dockerfile, or the
    // second `RUN` would be one with its next line.
    let text = "# syntax=evil.invalid/f\n# escape=`\n";
    let sections = "[pre_packages]\n# syntax=evil.invalid/f\n# escape=`\nRUN echo one > /one # `\n\
        RUN echo two \\\n  > /two\n[post_clone]\nARG BUILDKIT_SYNTAX=evil.invalid/f\n\
        RUN echo \"${BUILDKIT_SYNTAX}\" > /three\n";
    let repo = t
        .repo("linux")
        .file(".dkr.conf", format!("{text}{}", conf(sections)));
    repo.commit("directives");
    let dkr = t.dkr(["create-image"]).in_dir(&repo);
    let output = dkr.env("BUILDKIT_SYNTAX", "evil.invalid/f").run();
    if output.code == Some(2) {
        // Refusing the argument by name is right, too; then the rest has to pass without it.
        output.stderr_has("BUILDKIT_SYNTAX").stderr_has("line ");
        let (sections, _) = sections.split_once("[post_clone]").unwrap();
        repo.file(".dkr.conf", format!("{text}{}", conf(sections)))
            .commit("without");
        t.dkr(["create-image"]).in_dir(&repo).success();
    }
    let image = t.image(&repo, "main");
    assert_eq!(image.run(["cat", "/two"]), "two\n");
}
