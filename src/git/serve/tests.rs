//! The services with a real git on both sides.

mod alternates;
mod canaries;
mod cut;
mod receive;
mod refs;
mod requests;

use std::fs;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::testing::Sandbox;
use super::*;
use crate::error::Kind;

fn upload_pack(sandbox: &Sandbox) -> Service {
    let remotes = vec!["space".to_string()];
    Service::new(&sandbox.git_dir(), Program::UploadPack { remotes }).unwrap()
}

fn receive_pack(sandbox: &Sandbox, max_bytes: u64) -> Service {
    let prefix = PushPrefix::of_hostname("box");
    let program = Program::ReceivePack { prefix, max_bytes };
    Service::new(&sandbox.git_dir(), program).unwrap()
}

/// A sandbox with a clone, both services on their sockets.
fn served(commits: usize) -> Sandbox {
    let sandbox = Sandbox::new(commits);
    sandbox.clone_host(&sandbox.path("run"));
    sandbox.serve(upload_pack(&sandbox));
    sandbox.serve(receive_pack(&sandbox, MAX_PUSH_BYTES));
    sandbox
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_sees_branches_tags_and_the_named_remote_only() {
    let t = served(3);
    let listed = t.ok(&["ls-remote", "host"]);
    let names: Vec<_> = listed
        .lines()
        .map(|line| line.split('\t').nth(1).unwrap())
        .collect();
    let expected = [
        "HEAD",
        "refs/heads/main",
        "refs/heads/topic",
        "refs/remotes/space/main",
        "refs/tags/v1",
    ];
    assert_eq!(names, expected);
    t.host(&["commit", "-q", "--allow-empty", "-m", "new"]);
    t.ok(&["fetch", "-q", "host"]);
    assert_eq!(
        t.ok(&["rev-parse", "host/main"]),
        t.host(&["rev-parse", "main"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_ref_shows_can_be_fetched_by_its_id() {
    let t = served(3);
    let id = t.host(&["commit-tree", "-m", "loose", "HEAD^{tree}"]);
    t.ok(&["fetch", "-q", "host", &id]);
    assert_eq!(t.ok(&["cat-file", "-t", &id]), "commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_branches_are_the_containers_to_make_force_and_delete() {
    let t = served(3);
    // The user's own settings for pushes apply to the user's pushes.
    t.host(&["config", "receive.denyDeletes", "true"]);
    t.host(&["config", "receive.denyNonFastForwards", "true"]);
    t.host(&["config", "receive.hideRefs", "refs/heads/box"]);
    let before = t.host_files();
    t.commit("work");
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    assert_eq!(
        t.host(&["rev-parse", "box/a"]),
        t.ok(&["rev-parse", "HEAD"])
    );
    t.ok(&["commit", "-q", "--amend", "--allow-empty", "-m", "again"]);
    t.fails(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    t.ok(&[
        "push",
        "-q",
        "--force",
        "host",
        "HEAD:refs/heads/box/a",
        "HEAD:refs/heads/box/b/c",
    ]);
    assert_eq!(
        t.host(&["rev-parse", "box/a"]),
        t.ok(&["rev-parse", "HEAD"])
    );
    t.ok(&["push", "-q", "host", ":refs/heads/box/a"]);
    assert_eq!(
        t.host(&["for-each-ref", "--format=%(refname)", "refs/heads/box/"]),
        "refs/heads/box/b/c"
    );
    assert_eq!(t.host_files(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_ref_is_refused_and_nothing_of_the_host_changes() {
    let t = served(3);
    t.commit("work");
    t.ok(&["tag", "mine"]);
    t.ok(&["notes", "add", "-m", "mine"]);
    let before = (t.host_files(), t.host(&["for-each-ref"]));
    let pushes: [&[&str]; 20] = [
        &["HEAD:refs/heads/main"],
        &["HEAD:refs/heads/new"],
        &["HEAD:refs/heads/box"],
        &["HEAD:refs/heads/boxer/a"],
        &["HEAD:refs/heads/other/a"],
        &["HEAD:refs/heads/box/../main"],
        &["mine"],
        &["--tags"],
        &["refs/notes/commits"],
        &["HEAD:refs/remotes/space/main"],
        &["HEAD:refs/remotes/host/main"],
        &["HEAD:refs/dkr/x"],
        &["HEAD:refs/stash"],
        &["HEAD:refs/for/main"],
        &["HEAD:HEAD"],
        &[":refs/heads/topic"],
        &[":refs/tags/v1"],
        &["--mirror"],
        &["--force", "--all"],
        &["HEAD:refs/heads/box/a", "+HEAD:refs/heads/main"],
    ];
    for push in pushes {
        for force in [&["-f"][..], &[]] {
            let error = t.fails(&[&["push"], force, &["host"], push].concat());
            let told = error.contains("push refused: only `refs/heads/box/*` may be pushed");
            // git itself rejects `..` in a ref.
            assert!(
                told || error.contains("invalid refspec"),
                "{push:?}: {error}"
            );
        }
    }
    assert_eq!((t.host_files(), t.host(&["for-each-ref"])), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_through_a_ref_that_leads_to_another() {
    let t = served(3);
    for (name, to) in [("alias", "main"), ("deep/alias", "topic"), ("new", "none")] {
        let (name, to) = (format!("refs/heads/box/{name}"), format!("refs/heads/{to}"));
        t.host(&["symbolic-ref", &name, &to]);
    }
    let heads = t.git_dir().join("refs/heads");
    std::os::unix::fs::symlink(heads.join("topic"), heads.join("box/link")).unwrap();
    t.commit("work");
    let before = (t.host_files(), t.host(&["for-each-ref"]));
    for name in ["alias", "deep/alias", "new", "link"] {
        let name = format!("refs/heads/box/{name}");
        for source in ["HEAD", ""] {
            let error = t.fails(&["push", "--force", "host", &format!("{source}:{name}")]);
            assert!(error.contains("hidden ref"), "{name}: {error}");
        }
        let program = Program::Deliver {
            refs: vec![name.clone()],
            force: true,
        };
        let service = Service::new(&t.git_dir(), program).unwrap();
        let error = service.command(&t.env()).await.unwrap_err();
        assert!(error.message.contains(&name), "{error}");
    }
    assert_eq!((t.host_files(), t.host(&["for-each-ref"])), before);
    // Those beside them are the container's as ever.
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/deep/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_has_checked_out_of_the_prefix_stays_as_it_is() {
    let t = served(3);
    t.host(&["switch", "-q", "-c", "box/mine"]);
    t.host(&["config", "receive.denyCurrentBranch", "updateInstead"]);
    t.commit("work");
    let error = t.fails(&["push", "host", "HEAD:refs/heads/box/mine"]);
    assert!(error.contains("branch is currently checked out"), "{error}");
    t.fails(&["push", "host", ":refs/heads/box/mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_bears_the_containers_name_is_an_obstacle_and_is_safe() {
    let t = served(3);
    let prefix = PushPrefix::of_hostname("box");
    assert_eq!(
        push_obstacle(&t.git_dir(), &prefix, &t.env())
            .await
            .unwrap(),
        None
    );
    t.host(&["branch", "box"]);
    let obstacle = push_obstacle(&t.git_dir(), &prefix, &t.env())
        .await
        .unwrap();
    assert!(obstacle.unwrap().contains("has a branch `box`"));
    t.commit("work");
    t.fails(&["push", "--force", "host", "HEAD:refs/heads/box"]);
    t.fails(&["push", "host", ":refs/heads/box"]);
    t.fails(&["push", "host", "HEAD:refs/heads/box/a"]);
    t.host(&["branch", "-D", "box"]);
    t.host(&["symbolic-ref", "refs/heads/box", "refs/heads/nowhere"]);
    let obstacle = push_obstacle(&t.git_dir(), &prefix, &t.env())
        .await
        .unwrap();
    assert!(obstacle.unwrap().contains("has a branch `box`"));
    t.fails(&["push", "host", "HEAD:refs/heads/box/a"]);
    t.host(&["symbolic-ref", "--delete", "refs/heads/box"]);
    t.host(&["config", "receive.procReceiveRefs", "refs/heads"]);
    let obstacle = push_obstacle(&t.git_dir(), &prefix, &t.env())
        .await
        .unwrap();
    assert!(obstacle.unwrap().contains("procReceiveRefs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_too_large_is_refused_and_leaves_nothing() {
    let t = Sandbox::new(3);
    t.clone_host(&t.path("run"));
    t.serve(upload_pack(&t));
    t.serve(receive_pack(&t, 100_000));
    let noise: Vec<u8> = (0..400_000).map(|_| rand::random()).collect();
    fs::write(t.path("clone/noise"), noise).unwrap();
    t.ok(&["add", "noise"]);
    t.commit("large");
    let objects = t.host(&["count-objects", "-v"]);
    let error = t.fails(&["push", "host", "HEAD:refs/heads/box/a"]);
    assert!(
        error.contains("pack exceeds maximum allowed size"),
        "{error}"
    );
    assert_eq!(t.host(&["count-objects", "-v"]), objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_pack_that_asks_for_much_memory_is_refused() {
    let t = Sandbox::new(3);
    let service = receive_pack(&t, MAX_PUSH_BYTES);
    let (near, mut far) = tokio::io::duplex(100_000);
    let (env, limits) = (t.env(), ServiceLimits::default());
    let answer = service.answer(near, &env, &limits, std::future::pending());
    let id = "a".repeat(40);
    let mut push = format!(
        "{} {id} refs/heads/box/a\0 report-status side-band-64k",
        "0".repeat(40)
    )
    .into_bytes();
    push.splice(0..0, format!("{:04x}", push.len() + 4).into_bytes());
    // One commit (type 1) that claims to have 1 GiB: four bits of its size, then seven at a time.
    push.extend(b"0000PACK\0\0\0\x02\0\0\0\x01\x90\x80\x80\x80\x20");
    far.write_all(&push).await.unwrap();
    far.shutdown().await.unwrap();
    let mut said = Vec::new();
    let (traffic, _) = tokio::join!(answer, far.read_to_end(&mut said));
    assert_eq!(traffic.unwrap().outcome, ServiceEnd::Finished);
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("attempting to allocate"), "{said}");
    assert_eq!(t.host(&["for-each-ref", "refs/heads/box/"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fsck_rejects_is_refused() {
    let t = served(3);
    let tree = t.ok(&["rev-parse", "HEAD^{tree}"]);
    let commit = format!("tree {tree}\nauthor a <a@b> 0 +0000\ncommitter no email 0 +0000\n\nx\n");
    fs::write(t.path("clone/bad"), commit).unwrap();
    let id = t.ok(&["hash-object", "-t", "commit", "-w", "--literally", "bad"]);
    let error = t.fails(&["push", "host", &format!("{id}:refs/heads/box/a")]);
    assert!(
        error.contains("missingEmail") || error.contains("fsck"),
        "{error}"
    );
    assert_eq!(t.host(&["for-each-ref", "refs/heads/box/"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_one_commit_moves_kilobytes_not_the_history() {
    let t = Sandbox::new(3000);
    t.clone_host(&t.path("run"));
    let fetched = t.serve(upload_pack(&t));
    let pushed = t.serve(receive_pack(&t, MAX_PUSH_BYTES));
    fs::write(t.path("clone/f0"), "changed").unwrap();
    t.ok(&["add", "f0"]);
    t.commit("work");
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    let bytes = async |pushes| pushed.bytes(pushes).await + fetched.bytes(1).await;
    let negotiated = bytes(1).await;
    assert!(negotiated < 20_000, "{negotiated}");
    t.ok(&["push", "-q", "host", ":refs/heads/box/a"]);
    let before = bytes(2).await;
    t.ok(&[
        "-c",
        "push.negotiate=false",
        "push",
        "-q",
        "host",
        "HEAD:refs/heads/box/a",
    ]);
    // What the setting is for: without it the same push moves the history.
    let plain = bytes(3).await - before;
    assert!(plain > 100_000, "{plain} against {negotiated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_someone_else_that_dkr_was_let_into_is_served() {
    let t = Sandbox::new(3);
    for service in [upload_pack(&t), receive_pack(&t, MAX_PUSH_BYTES)] {
        let mut command = service.command(&t.env()).await.unwrap();
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
        let (near, mut far) = tokio::io::duplex(1024);
        far.write_all(b"0000").await.unwrap();
        far.shutdown().await.unwrap();
        let (gone, limits) = (std::future::pending(), ServiceLimits::default());
        let traffic = bridge(near, command, &limits, gone);
        let mut answer = Vec::new();
        let (traffic, _) = tokio::join!(traffic, far.read_to_end(&mut answer));
        assert_eq!(traffic.unwrap().outcome, ServiceEnd::Finished);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_locked_ref_says_so_and_succeeds_once_it_is_free() {
    let t = served(3);
    t.commit("work");
    let push = ["push", "-q", "host", "HEAD:refs/heads/box/a"];
    let lock = t.git_dir().join("refs/heads/box/a.lock");
    fs::create_dir(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "").unwrap();
    let error = t.fails(&push);
    assert!(error.contains("a.lock"), "{error}");
    assert_eq!(t.host(&["for-each-ref", "refs/heads/box/"]), "");
    assert!(lock.exists());
    fs::remove_file(lock).unwrap();
    t.ok(&push);
    t.host(&["fsck", "--no-dangling"]);
}

/// Pushes. git refuses a push that reads a ref or a pack just while it is being packed or replaced; a
/// later one succeeds.
fn push_within(attempts: usize, t: &Sandbox) {
    let arguments = ["push", "-q", "host", "HEAD:refs/heads/box/a"];
    for _ in 1..attempts {
        if t.git(&arguments).status.success() {
            return;
        }
    }
    t.ok(&arguments);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_while_the_host_collects_garbage_lose_nothing() {
    let t = &served(300);
    let (done, collecting) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let collector = scope.spawn(move || {
            let mut rounds = 0;
            // Also ends when a push fails, because that drops the other end.
            while collecting.try_recv() == Err(TryRecvError::Empty) {
                t.host(&["repack", "-adq"]);
                t.host(&["pack-refs", "--all"]);
                // Objects that came a moment ago stay, as in every garbage collection.
                t.host(&["prune", "--expire=1.minute.ago"]);
                rounds += 1;
            }
            rounds
        });
        for number in 0..15 {
            t.commit(&format!("work {number}"));
            push_within(6, t);
        }
        drop(done);
        assert!(collector.join().unwrap() > 1);
    });
    let pushed = t.host(&["rev-parse", "box/a"]);
    assert_eq!(pushed, t.ok(&["rev-parse", "HEAD"]));
    t.host(&["fsck", "--no-dangling"]);
}
