//! `dist/build.sh`: what a release consists of. The program in it is that of the tests, so nothing is built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::docs::program::commands;
use super::version::with_cargo;
use crate::support::{Invocation, Output, Repo, Sandbox, write_program};

/// A checkout of dkr as it is now, committed.
fn checkout(t: &Sandbox) -> Repo {
    let repo = t.repo("dkr");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name();
        if name != ".git" && name != "target" {
            let from = root.join(&name);
            let arguments = [Path::new("-R"), &from, repo.path()];
            t.command("cp", arguments).success();
        }
    }
    repo.commit("release: 0.0.0")
}

/// A run of the script that packages the program of the tests.
fn build(t: &Sandbox, repo: &Repo, arguments: &[&str]) -> Invocation {
    let script = repo.path().join("dist/build.sh");
    let own = [
        script.to_str().unwrap(),
        "--binary",
        env!("CARGO_BIN_EXE_dkr"),
        "--compression",
        "none",
    ];
    let run = t.command("sh", own.iter().chain(arguments));
    with_cargo(run).in_dir(t.path())
}

/// What a run of the script made.
struct Release {
    folder: PathBuf,
    package: PathBuf,
    program: PathBuf,
}

impl Release {
    /// What the script left in `folder`.
    fn in_folder(folder: &Path) -> Self {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let names: Vec<&str> = names.iter().map(|name| name.to_str().unwrap()).collect();
        let [sums, program, package] = names[..] else {
            panic!("three files were expected: {names:?}");
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(sums, "SHA256SUMS");
        assert!(
            program.starts_with(&format!("dkr-{version}-linux-")),
            "{program}"
        );
        assert!(package.starts_with(&format!("dkr_{version}_")), "{package}");
        Release {
            folder: folder.to_owned(),
            package: folder.join(package),
            program: folder.join(program),
        }
    }

    /// The package's files, and its control files in `DEBIAN`.
    fn unpack(&self, t: &Sandbox) -> PathBuf {
        let folder = t.path().join("unpacked");
        self.dpkg_deb(t, &["--raw-extract", folder.to_str().unwrap()]);
        folder
    }

    fn dpkg_deb(&self, t: &Sandbox, arguments: &[&str]) -> Output {
        let package = [self.package.to_str().unwrap()];
        let (option, rest) = arguments.split_first().unwrap();
        let arguments = [option].into_iter().chain(&package).chain(rest);
        t.command("dpkg-deb", arguments).success()
    }
}

#[test]
fn a_package_has_its_files_where_debian_looks_for_them() {
    let t = Sandbox::new();
    let repo = checkout(&t);
    build(&t, &repo, &["--output", "release"]).success();
    let release = Release::in_folder(&t.path().join("release"));
    t.command("sha256sum", ["--check", "--strict", "SHA256SUMS"])
        .in_dir(&release.folder)
        .success();
    let version = |program: &Path| t.command(program, ["--version"]).success().stdout;
    let of_tests = version(Path::new(env!("CARGO_BIN_EXE_dkr")));
    assert_eq!(version(&release.program), of_tests);

    let unpacked = release.unpack(&t);
    t.command("md5sum", ["--check", "--strict", "DEBIAN/md5sums"])
        .in_dir(&unpacked)
        .success();
    let file = |path: &str| {
        fs::read(unpacked.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(version(&unpacked.join("usr/bin/dkr")), of_tests);
    for (path, source) in [
        (
            "usr/share/bash-completion/completions/dkr",
            "assets/completion.bash",
        ),
        (
            "usr/share/zsh/vendor-completions/_dkr",
            "assets/completion.zsh",
        ),
        (
            "usr/share/fish/vendor_completions.d/dkr.fish",
            "assets/completion.fish",
        ),
        ("usr/share/doc/dkr/README.md", "README.md"),
    ] {
        assert_eq!(file(path), fs::read(repo.path().join(source)).unwrap());
    }
    let copyright = String::from_utf8(file("usr/share/doc/dkr/copyright")).unwrap();
    let licence = fs::read_to_string(repo.path().join("LICENSE")).unwrap();
    let lines = licence.lines().filter(|line| !line.is_empty()).skip(2);
    for line in lines {
        assert!(copyright.contains(&format!("\n {line}\n")), "{line}");
    }
    let notices = unzip(
        &t,
        &unpacked.join("usr/share/doc/dkr/third-party-licenses.gz"),
    );
    assert!(notices.contains("\nserde 1."), "{notices}");
    assert!(notices.contains("libgit2"), "{notices}");
    assert!(notices.contains("GNU GENERAL PUBLIC LICENSE"), "{notices}");

    let listed = release.dpkg_deb(&t, &["--contents"]).stdout;
    for line in listed.lines() {
        let is_program = line.ends_with(" ./usr/bin/dkr") || line.ends_with('/');
        let mode = if is_program {
            "rwxr-xr-x root/root"
        } else {
            "rw-r--r-- root/root"
        };
        assert_eq!(&line[1..20], mode, "{line}");
    }
}

#[test]
fn a_package_names_what_it_needs() {
    let t = Sandbox::new();
    let repo = checkout(&t);
    build(&t, &repo, &["--output", "release"])
        .env("DEBFULLNAME", "A U Thor")
        .env("DEBEMAIL", "author@example.com")
        .success();
    let release = Release::in_folder(&t.path().join("release"));
    let field = |name: &str| {
        let value = release.dpkg_deb(&t, &["--field", name]).stdout;
        value.trim_end().to_owned()
    };
    let architecture = t.command("dpkg", ["--print-architecture"]).success().stdout;
    assert_eq!(field("Package"), "dkr");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field("Architecture"), architecture.trim_end());
    assert_eq!(field("Maintainer"), "A U Thor <author@example.com>");
    let depends = field("Depends");
    // The oldest git and OpenSSH that the README and the changelog name.
    let own = "git (>= 1:2.31), openssh-client (>= 1:8.4)";
    let libraries = depends.strip_suffix(own).expect(&depends);
    assert!(libraries.starts_with("libc6 (>= 2."), "{depends}");
    assert!(libraries.contains("libgcc-s1, "), "{depends}");
    assert!(field("Recommends").contains("docker-ce"));
    let unpacked = release.unpack(&t);
    let size: u64 = field("Installed-Size").parse().unwrap();
    let program = fs::metadata(unpacked.join("usr/bin/dkr")).unwrap().len() / 1024;
    assert!((program..program + 400).contains(&size), "{size}");
}

#[test]
fn there_is_a_manual_page_for_dkr_and_each_command() {
    let t = Sandbox::new();
    let repo = checkout(&t);
    build(&t, &repo, &["--output", "release"]).success();
    let folder = Release::in_folder(&t.path().join("release")).unpack(&t);
    let folder = folder.join("usr/share/man/man1");
    let pages = fs::read_dir(&folder).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: BTreeSet<String> = commands()
        .into_keys()
        .map(|command| format!("dkr-{command}.1.gz"))
        .collect();
    expected.insert("dkr.1.gz".to_owned());
    assert_eq!(pages, expected);

    for page in pages {
        let text = unzip(&t, &folder.join(&page));
        let is_one = text.contains(".SH NAME\ndkr") && text.contains(".SH EXAMPLES\n.nf\n");
        assert!(is_one, "{page}: {text}");
        // Every machine has one of them, or none: what formats pages is not needed to build them.
        for formatter in [
            &["groff", "-man", "-z", "-ww"][..],
            &["mandoc", "-T", "lint", "-W", "error"],
        ] {
            if is_installed(&t, formatter[0]) {
                let run = t.command(formatter[0], &formatter[1..]);
                let read = run.stdin(&text).success();
                assert_eq!((&*read.stdout, &*read.stderr), ("", ""), "{page}");
            }
        }
    }
}

#[test]
fn the_same_commit_makes_the_same_bytes() {
    let t = Sandbox::new();
    let repo = checkout(&t);
    build(&t, &repo, &["--output", "one"]).success();
    // Elsewhere, with files of other modes and times, of a user who reads other dates.
    let copy = repo.path().with_file_name("copy");
    let script = "umask 077; cp -R \"$0\" \"$1\"";
    let paths = ["-c", script].map(Path::new);
    t.command("sh", paths.into_iter().chain([repo.path(), &copy]))
        .success();
    build(&t, &Repo::at(&copy), &["--output", "two"])
        .env("TZ", "Asia/Tokyo")
        .env("LANG", "de_DE.UTF-8")
        .success();
    let [one, two] = ["one", "two"].map(|name| Release::in_folder(&t.path().join(name)));
    let sums = |release: &Release| fs::read_to_string(release.folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&one), sums(&two));
    assert!(fs::read(one.package).unwrap() == fs::read(two.package).unwrap());
}

#[test]
fn what_is_not_committed_is_not_released() {
    let t = Sandbox::new();
    let repo = checkout(&t).file("README.md", "changed").file("new", "");
    let refused = build(&t, &repo, &["--output", "release"]).failure(1);
    refused.stderr_has(" M README.md\n").stderr_has("?? new\n");
    refused.stderr_has("error: the work tree differs from the commit (use `--allow-dirty`");
    assert!(!t.path().join("release").exists());
    build(&t, &repo, &["--output", "release", "--allow-dirty"]).success();
    Release::in_folder(&t.path().join("release"));
}

#[test]
fn another_version_and_an_unknown_time_are_refused() {
    let t = Sandbox::new();
    let repo = checkout(&t);
    fs::rename(repo.path().join(".git"), t.path().join("git")).unwrap();
    let refused = build(&t, &repo, &["--output", "release"]).failure(1);
    refused.stderr_has("error: this is no git checkout: set SOURCE_DATE_EPOCH\n");
    let manifest = repo.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let own = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    fs::write(&manifest, text.replacen(&own, "version = \"99.0.0\"", 1)).unwrap();
    let refused = build(&t, &repo, &["--output", "release"])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .failure(1);
    refused.stderr_has("is not dkr 99.0.0\n");
}

/// Stands before cargo: builds nothing, and puts the tests' dkr where the program would be.
const CARGO: &str = r#"
PATH=${PATH#*:}
[ "$1" = build ] || exec cargo "$@"
for target; do :; done
mkdir -p "$CARGO_TARGET_DIR/$target/release"
cp "$DKR" "$CARGO_TARGET_DIR/$target/release/dkr"
"#;
/// Stands before rustc: has the standard library for musl once rustup has brought it.
const RUSTC: &str = r#"
PATH=${PATH#*:}
[ "$1 $2" = "--print target-libdir" ] || exec rustc "$@"
echo "$STD"
"#;

/// A run of the script that would build for musl with the standard library that `rustup` may bring.
fn build_with_rustup(rustup: &str) -> (String, Output) {
    let t = Sandbox::new();
    let repo = checkout(&t);
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let stubs = [
        ("cargo", CARGO),
        ("rustc", RUSTC),
        ("rustup", rustup),
        ("musl-gcc", ""),
    ];
    for (name, script) in stubs {
        write_program(&bin.join(name), &format!("#!/bin/sh\n{script}"));
    }
    let path = std::env::var("PATH").unwrap();
    let script = repo.path().join("dist/build.sh");
    let script = script.to_str().unwrap();
    let run = t.command("sh", [script, "--compression", "none"]);
    let run = run
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("DKR", env!("CARGO_BIN_EXE_dkr"))
        .env("STD", t.path().join("std"))
        .env("CARGO_TARGET_DIR", t.path().join("target"));
    let output = with_cargo(run).success();
    Release::in_folder(&t.path().join("target/dist"));
    let line = output
        .stdout
        .lines()
        .find(|line| line.contains("building for"));
    (line.unwrap().to_owned(), output)
}

#[test]
fn the_program_is_linked_with_musl_if_rust_has_it() {
    let brings = r#"[ "$1 $2" = "target add" ] && mkdir "$STD" && echo >"$STD/libstd-0.rlib""#;
    let (building, output) = build_with_rustup(brings);
    assert!(building.ends_with("-linux-musl"), "{output}");
    assert!(!output.stdout.contains("linking dynamically"), "{output}");

    let (building, output) = build_with_rustup("exit 1");
    assert!(building.ends_with("-linux-gnu"), "{output}");
    let target = building.replace("-gnu", "-musl");
    let target = target.rsplit(' ').next().unwrap();
    let why = format!(
        "dist: linking dynamically: Rust's standard library for `{target}` is not installed \
         (`rustup target add {target}`)\n"
    );
    assert!(output.stdout.contains(&why), "{output}");
}

fn is_installed(t: &Sandbox, program: &str) -> bool {
    let run = t.command("sh", ["-c", "command -v \"$0\"", program]);
    run.run().code == Some(0)
}

/// The text of a compressed file.
fn unzip(t: &Sandbox, file: &Path) -> String {
    let unzipped = t.command("gzip", [Path::new("-dc"), file]).success();
    unzipped.stdout
}
