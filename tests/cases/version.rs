//! `dkr --version`: the commit that the program is built from, as `build.rs` finds it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Invocation, Repo, Sandbox};

const CARGO_TOML: &str =
    "[package]\nname = \"dkr\"\nversion = \"0.3.0\"\nedition = \"2024\"\n\n[workspace]\n";
const MAIN: &str =
    "fn main() {\n    println!(\"{}|{}\", env!(\"DKR_VERSION\"), env!(\"DKR_DATE\"));\n}\n";

/// A run with the cargo and the crates of whoever runs the tests, not with the sandbox's home.
pub fn with_cargo(run: Invocation) -> Invocation {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let folder = |variable: &str, default: &str| {
        std::env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from)
    };
    let run = run
        .env("CARGO_HOME", folder("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", folder("RUSTUP_HOME", ".rustup"));
    match std::env::var_os("RUSTUP_TOOLCHAIN") {
        Some(toolchain) => run.env("RUSTUP_TOOLCHAIN", toolchain),
        None => run,
    }
}

/// A small program with dkr's `build.rs`.
fn program(t: &Sandbox) -> Repo {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    t.repo("program")
        .file("Cargo.toml", CARGO_TOML)
        .file("src/main.rs", MAIN)
        .file("build.rs", fs::read(build).unwrap())
        .file(".gitignore", "/target\nCargo.lock\n")
}

/// What the program says, built anew if cargo thinks that it has to be.
fn version(t: &Sandbox, folder: impl AsRef<Path>) -> String {
    let run = t.command("cargo", ["run", "--quiet", "--offline"]);
    let said = with_cargo(run).in_dir(folder).success();
    said.stdout.trim_end().to_owned()
}

fn expected(repo: &Repo) -> String {
    let id = &repo.rev("HEAD")[..10];
    format!("0.3.0 ({id} 2023-11-14)|2023-11-14")
}

#[test]
fn it_names_the_commit_that_head_is_on() {
    let t = Sandbox::new();
    let repo = program(&t).commit("one");
    let one = version(&t, &repo);
    assert_eq!(one, expected(&repo));

    let repo = repo.commit("two");
    assert_eq!(version(&t, &repo), expected(&repo));
    repo.git(["checkout", "--quiet", "HEAD~"]);
    assert_eq!(version(&t, &repo), one);

    // A branch that is packed has no file until its next commit, nor has its folder one.
    let repo = repo.switch_new("topic/a", "main");
    repo.git(["pack-refs", "--all"]);
    assert_eq!(version(&t, &repo), expected(&repo));
    let repo = repo.commit("three");
    assert_eq!(version(&t, &repo), expected(&repo));
    // What is built already is not built again.
    let built = || {
        let program = repo.path().join("target/debug/dkr");
        fs::metadata(program).unwrap().modified().unwrap()
    };
    let before = built();
    repo.git(["branch", "other"]);
    version(&t, &repo);
    assert_eq!(built(), before);
}

#[test]
fn a_linked_worktree_has_a_commit_of_its_own() {
    let t = Sandbox::new();
    let repo = program(&t).commit("one").branch("side", "main");
    let linked = repo.worktree("linked", "side").commit("two");
    assert_ne!(expected(&linked), expected(&repo));
    assert_eq!(version(&t, &linked), expected(&linked));
    let linked = linked.commit("three");
    assert_eq!(version(&t, &linked), expected(&linked));
    assert_eq!(version(&t, &repo), expected(&repo));
}

#[test]
fn a_source_archive_has_none_even_within_another_repository() {
    let t = Sandbox::new();
    let repo = program(&t).commit("one");
    let outer = t.repo("outer").commit("outer");
    let unpacked = outer.path().join("dkr-0.3.0");
    fs::create_dir(&unpacked).unwrap();
    let archive = t.path().join("archive.tar");
    repo.git(["archive", "-o", archive.to_str().unwrap(), "HEAD"]);
    t.command("tar", ["xf", archive.to_str().unwrap()])
        .in_dir(&unpacked)
        .success();
    assert_eq!(version(&t, &unpacked), "0.3.0|");
}

#[test]
fn dkr_names_its_own_commit_if_it_is_built_from_a_checkout() {
    let t = Sandbox::new();
    let said = t
        .command(env!("CARGO_BIN_EXE_dkr"), ["--version"])
        .success();
    let version = concat!("dkr ", env!("CARGO_PKG_VERSION"));
    let said = said.stdout.trim_end();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        assert_eq!(said, version);
        return;
    }
    let rest = said.strip_prefix(version).unwrap();
    let commit = rest
        .strip_prefix(" (")
        .and_then(|rest| rest.strip_suffix(')'));
    let (id, date) = commit
        .and_then(|commit| commit.split_once(' '))
        .expect(said);
    // Not HEAD, which may have moved since the tests were built.
    let shown = t
        .command("git", ["show", "--no-patch", "--format=%H %cs", id])
        .in_dir(root)
        .success();
    assert!(shown.stdout.starts_with(id), "{shown}");
    assert!(
        shown.stdout.trim_end().ends_with(&format!(" {date}")),
        "{shown}"
    );
    assert_eq!(id.len(), 10);
}
