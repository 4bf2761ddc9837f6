//! Repositories that are hard to copy: many packs, objects and refs, packs that change under way,
//! objects that are missing, and those that only a plain clone serves.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::containers::{detached, inside as exec};
use super::create_image::two_commits;
use super::packs::{inside, noise, object_images, whole};
use super::start_image::hostname;
use crate::support::{KeyKind, Sandbox, Sshd};

#[test]
fn many_packs_loose_objects_and_refs_are_copied() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    repo.git(["config", "gc.auto", "0"]);
    for number in 0..100 {
        repo.file("number", format!("{number}")).commit("one more");
        repo.git(["repack", "-dq"]);
    }
    for number in 0..5_000 {
        repo.file(
            &format!("many/{}/{number}", number % 50),
            format!("{number}"),
        );
    }
    repo.commit("many files");
    for number in 0..5_000 {
        repo.file(
            &format!("many/{}/{number}", number % 50),
            format!("x{number}"),
        );
    }
    repo.commit("other contents")
        .file("many/0/0", "y")
        .commit("and one");
    let tip = repo.rev("main");
    repo.git(["pack-refs", "--all"]);
    let mut refs = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    let _ = writeln!(refs, "{tip} refs/heads/main");
    for number in 0..200_000 {
        let _ = writeln!(refs, "{tip} refs/heads/many/{number:06}");
    }
    fs::write(repo.path().join(".git/packed-refs"), refs).unwrap();
    let count = repo.output(["count-objects"]);
    let loose: u32 = count.split(' ').next().unwrap().parse().unwrap();
    assert!(loose > 10_000, "{count}");
    // A leftover of each kind, and what nobody reaches.
    let packs = repo.path().join(".git/objects/pack");
    for leftover in ["tmp_pack_1", "pack-1.idx", "pack-2.keep"] {
        fs::write(packs.join(leftover), "leftover").unwrap();
    }
    repo.file("secret", "secret");
    let secret = repo.output(["hash-object", "-w", "secret"]);

    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    whole(&image);
    let counts = "git for-each-ref | wc -l
        git for-each-ref refs/remotes/host/many | wc -l
        ls /var/lib/dkr/objects/pack/*.pack | wc -l
        find /var/lib/dkr/objects/?? -type f 2>/dev/null | wc -l
        ls /var/lib/dkr/objects/pack | grep -v '^pack-[0-9a-f]*[.]'";
    assert_eq!(
        inside(&image, counts),
        "200003\n200000\n101\n0\nmulti-pack-index\n"
    );
    // An object that nobody reaches stays where it is.
    inside(&image, &format!("! git cat-file -e {secret}"));
    // The sandbox would take it for one of dkr's.
    fs::remove_file(packs.join("tmp_pack_1")).unwrap();
}

#[test]
fn unusual_repositories_are_cloned_with_a_line_that_says_why() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    repo.file("src/a.c", "int b;\n").commit("third");
    let tree = repo.output(["rev-parse", "main~:src/a.c"]);
    repo.git(["replace", &tree, &repo.output(["rev-parse", "main:README"])]);
    let output = t.dkr(["create-image"]).in_dir(&repo).success();
    output.stderr_has("the repository has replaced objects");
    whole(&t.image(&repo, "main"));
    assert!(object_images(&t, &repo).is_empty());
    repo.git(["replace", "-d", &tree]);

    // What a cruft pack holds is not copied, but may have come into use again.
    let lost = repo
        .switch_new("lost", "main")
        .file("lost", "lost")
        .commit("lost");
    let lost = lost.rev("lost");
    repo.checkout("main")
        .git(["branch", "--quiet", "-D", "lost"]);
    repo.git(["reflog", "expire", "--expire=now", "--all"]);
    repo.git(["gc", "--quiet", "--cruft", "--prune=1.day.ago"]);
    repo.git(["branch", "found", &lost]);
    let output = t
        .dkr(["create-image", ".", "found"])
        .in_dir(&repo)
        .success();
    output.stderr_has("a cruft pack holds objects that are in use");
    whole(&t.image(&repo, "found"));
}

#[test]
fn an_account_without_a_shell_serves_a_clone() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let sshd = t.another_sshd("git-only", KeyKind::Ed25519);
    let script = t.path().join("git-only.sh");
    fs::write(
        &script,
        "case $SSH_ORIGINAL_COMMAND in git-upload-pack*) eval \"$SSH_ORIGINAL_COMMAND\" ;;\n\
         git*upload-pack*) eval \"$SSH_ORIGINAL_COMMAND\" ;;\n*) echo refused >&2; exit 128 ;; esac\n",
    )
    .unwrap();
    allow_only(&t, &sshd, &script);
    let output = t
        .dkr(["create-image", "--transport", "ssh"])
        .env("DKR_SSH_PORT", sshd.port().to_string())
        .in_dir(&repo)
        .success();
    output.stderr_has("runs no shell");
    whole(&t.image(&repo, "main"));
}

#[test]
fn packs_that_are_gone_when_they_are_asked_for_are_listed_again() {
    packs_are_replaced("replace; tar");
}

#[test]
fn packs_that_go_while_they_are_streamed_are_listed_again() {
    // A pipe holds less than one of the packs has, so the next are still to be opened.
    packs_are_replaced("tar | { head -c 100; replace; cat; }");
}

/// Bakes while the packs are replaced as a script says when an archive is asked for first.
fn packs_are_replaced(script: &str) {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    for number in 0..3 {
        repo.file("big", noise(number, 1 << 20)).commit("big");
        repo.git(["repack", "-dq"]);
    }
    let path = repo.path().to_str().unwrap();
    let once = t.path().join("once");
    let status = t.path().join("status");
    let text = format!(
        "replace() {{ git -C {path} commit -q --allow-empty -m x; git -C {path} repack -adq; }}\n\
         tar() {{ eval \"command $SSH_ORIGINAL_COMMAND\"; echo $? >{status:?}; }}\n\
         case $SSH_ORIGINAL_COMMAND in tar*) if mkdir {once:?} 2>/dev/null; then\n\
         {script}\nexit $(cat {status:?})\nfi ;; esac\n\
         eval \"$SSH_ORIGINAL_COMMAND\"\n",
    );
    let sshd = t.another_sshd("repacking", KeyKind::Ed25519);
    let script = t.path().join("repacking.sh");
    fs::write(&script, text).unwrap();
    allow_only(&t, &sshd, &script);
    let output = t
        .dkr(["create-image", "--transport", "ssh"])
        .env("DKR_SSH_PORT", sshd.port().to_string())
        .in_dir(&repo)
        .success();
    output.stderr_has("copying them again");
    assert_eq!(object_images(&t, &repo).len(), 1);
    whole(&t.image(&repo, "main"));
}

/// Lets the sandbox's key in for one script, which finds what was asked for in a variable.
fn allow_only(t: &Sandbox, sshd: &Sshd, script: &Path) {
    t.sshd();
    let public = fs::read_to_string(t.home().join(".ssh/id_ed25519.pub")).unwrap();
    sshd.authorize(&format!("command=\"sh {}\"", script.display()), &public);
}

#[test]
fn without_a_folder_for_packs_there_are_none() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    fs::remove_dir_all(repo.path().join(".git/objects/pack")).unwrap();
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    whole(&image);
    let packs = inside(&image, "ls /var/lib/dkr/objects/pack/*.pack | wc -l");
    assert_eq!(packs, "1\n");
}

#[test]
fn objects_that_are_missing_on_the_host_are_an_error_in_either_mode() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").file("lost", "lost");
    let blob = repo.commit("lost").output(["rev-parse", "main:lost"]);
    let (folder, rest) = blob.split_at(2);
    fs::remove_file(repo.path().join(".git/objects").join(folder).join(rest)).unwrap();
    for mode in ["packs", "full"] {
        let dkr = t.dkr(["create-image", "--clone", mode]).in_dir(&repo);
        dkr.failure(1).stderr_has(&blob);
        assert!(t.branch_images(&repo).is_empty());
    }
}

/// Settings of a user that change what git makes, finds, prints or fetches.
const SETTINGS: &str = "
[init]
	defaultObjectFormat = sha256
	defaultRefFormat = reftable
	templateDir = /nonexistent
[safe]
	bareRepository = explicit
[core]
	hooksPath = /nonexistent
	fsmonitor = /nonexistent
	abbrev = 40
	quotePath = false
[color]
	ui = always
[log]
	showSignature = true
[fetch]
	prune = true
	pruneTags = true
	fsckObjects = true
	negotiationAlgorithm = noop
	output = compact
[transfer]
	fsckObjects = true
[submodule]
	recurse = true
[commit]
	gpgSign = true
[protocol]
	version = 0
[diff]
	orderFile = /nonexistent
	external = false
[column]
	ui = always
";

#[test]
fn what_the_user_configures_for_git_decides_nothing() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let bare = upstream.bare_clone_to("bare.git");
    let config = t.path().join("gitconfig");
    let own = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{own}{SETTINGS}")).unwrap();
    for transport in ["ssh", "session"] {
        let create = ["create-image", "--transport", transport];
        t.dkr(create).in_dir(&bare).success();
        whole(&t.image(&bare, "main"));
    }
    let path = bare.path().to_str().unwrap();
    bare.git(["--git-dir", path, "update-ref", "refs/heads/main", "main~"]);
    t.dkr(["update-image"]).in_dir(&bare).success();
    bare.git([
        "--git-dir",
        path,
        "update-ref",
        "refs/heads/main",
        &upstream.rev("main"),
    ]);
    let name = t.unique("work");
    detached(&t, &bare, &name);
    exec(
        &t,
        &name,
        "test -e src/a.c; git commit -q --allow-empty -m one; git push -q; git commit -q --allow-empty -m two",
    );
    t.dkr(["take", &name]).success();
    let branch = format!("{}/{name}", hostname());
    let log = [
        "--git-dir",
        path,
        "log",
        "-2",
        "--no-show-signature",
        "--color=never",
        "--format=%s",
        &branch,
    ];
    assert_eq!(bare.output(log), "two\none");
    t.dkr(["rm", "--force", &name]).success();
}
