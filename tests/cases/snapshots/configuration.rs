//! Both configuration files: what is shown of them, and what is wrong in them.

use std::fs;

use super::Transcript;
use crate::cases::create_image::two_commits;
use crate::support::Sandbox;

/// Writes the user's configuration.
fn configure(t: &Sandbox, text: &str) {
    let folder = t.path().join("config/dkr");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("dkr.conf"), text).unwrap();
}

#[test]
fn lines_of_the_users_file_that_cannot_be_used() {
    let t = Sandbox::new();
    let mut transcript = Transcript::new(&t);
    for text in [
        "pakages = x",
        "something = x",
        "keep = auto\nkeep = auto",
        "[ssh]",
        "transport",
        "progress = 'plain",
        "transport = yse",
        "stale = perhaps",
        "drift = perhaps",
        "keep = perhaps",
        "clone = perhaps",
        "progress = loud",
        "build_network = perhaps",
        "ssh_port = 0",
        "max_behind = -1",
        "container_timeout = 0",
        "no_cache = maybe",
        "ssh_user =",
        "ssh_key = id_rsa",
        "allow_host_volumes = x",
        "cpus = many",
        "memory = 5m",
        "pids_limit = many",
        "gpus = device=",
        "stale = a\rb",
    ] {
        configure(&t, text);
        transcript.heading(&format!("{text:?}"));
        transcript.run(transcript.dkr(&["show-config"]));
    }
    configure(&t, "");
    for (variable, value) in [
        ("DKR_STALE", "yse"),
        ("DKR_SSH_PORT", "x"),
        ("DKR_NO_CACHE", "maybe"),
        ("DKR_CPUS", "many"),
        ("DKR_ALLOW_HOST_VOLUMES", "/srv"),
    ] {
        transcript.heading(&format!("{variable}={value}"));
        let dkr = transcript.dkr(&["show-config"]).env(variable, value);
        transcript.run(dkr);
    }
    transcript.check("configuration-user");
}

#[test]
fn lines_of_the_repositorys_file_that_cannot_be_used() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "x").commit("initial");
    let mut transcript = Transcript::new(&t);
    for text in [
        "pakages = x",
        "something = x",
        "packages = a\n\npackages = b",
        "base_image",
        "base_image =",
        "base_image = $VAR",
        "base_image = --platform=linux/arm64 x",
        "base_image = x\rRUN id",
        "packages = ok -y",
        "packages = a\0b",
        "volumes = data",
        "volumes = aa:/x bb:/x",
        "volumes = /srv/data/x:/x",
        "volumes = cache:/workspace",
        "[post_clon]",
        "[pre_clone]\n [post_clone]",
        "[pre_clone]\n[post_clone]\n[pre_clone]",
        "[pre_clone]\nRUN id\npackages = x",
        "[pre_clone]\nRNU id",
        "[pre_clone]\nfrobnicate",
        "[pre_clone]\nRUN a \\",
        "[pre_clone]\nRUN a \\\n\n[post_clone]\nRUN b",
        "[pre_clone]\nRUN cat <<EOF",
        "[post_clone]\nFROM x",
        "[post_clone]\nCMD x",
        "[post_clone]\nCOPY . /x",
        "[post_clone]\nADD . /x",
        "[post_clone]\nONBUILD ONBUILD RUN id",
        "[post_clone]\nLABEL dkr.type=base",
        "[post_clone]\nLABEL $X=base",
        "[post_clone]\nRUN --mount=type=ssh id",
        "[post_clone]\nRUN --mount=type=secret,id=x id",
        "[post_clone]\nRUN --mount=type=npipe id",
        "[post_clone]\nRUN --mount=target=/x id",
        "[post_clone]\nRUN --network=host id",
        "[post_clone]\nARG BUILDKIT_SYNTAX=x",
        "[post_clone]\nRUN a\rb",
    ] {
        repo.file(".dkr.conf", text).commit("another configuration");
        transcript.heading(&format!("{text:?}"));
        let dkr = transcript.dkr(&["create-image", "--dry-run"]);
        transcript.run(dkr.in_dir(&repo));
    }
    repo.file(".dkr.conf", b"base_image = \xff\xfe\n")
        .commit("another configuration");
    transcript.heading("bytes that are no text");
    let dry_run = |transcript: &Transcript<'_>| {
        let dkr = transcript.dkr(&["create-image", "--dry-run"]);
        dkr.in_dir(&repo)
    };
    transcript.run(dry_run(&transcript));
    repo.remove(".dkr.conf")
        .symlink(".dkr.conf", "README")
        .commit("a link");
    transcript.heading("a symbolic link");
    transcript.run(dry_run(&transcript));
    transcript.check("configuration-repository");
}

#[test]
fn every_setting() {
    let t = Sandbox::new();
    let mut transcript = Transcript::new(&t).narrow();
    transcript.heading("without a file");
    for arguments in [&["show-config"][..], &["show-config", "--json"]] {
        transcript.run(transcript.dkr(arguments));
    }
    configure(
        &t,
        "# mine\nstale = fail\nmax_behind = 7\nssh_key = ~/key\n",
    );
    transcript.heading("with a file and a variable");
    for arguments in [&["show-config"][..], &["show-config", "--json"]] {
        let dkr = transcript.dkr(arguments).env("DKR_MAX_BEHIND", "9");
        transcript.run(dkr);
    }
    transcript.check("show-config");
}

#[test]
fn a_configuration_to_begin_with() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("README", "x").commit("initial");
    let mut transcript = Transcript::new(&t);
    transcript.run(transcript.dkr(&["init"]).in_dir(&repo));
    transcript.run(transcript.dkr(&["init"]).in_dir(&repo));
    let bare = two_commits(&t, "other").bare_clone_to("other.git");
    transcript.run(transcript.dkr(&["init"]).in_dir(&bare));
    transcript.run(transcript.dkr(&["init", "/"]));
    transcript.check("init");
}
