//! What dkr itself writes to the host's repository.

use std::fmt::Write as _;

use super::*;

/// `count` commits in the clone, each on the one before, that the host does not have; and the pack
/// of them.
fn commits(t: &Sandbox, count: usize) -> (Vec<String>, Vec<u8>) {
    let mut stream = String::new();
    for number in 1..=count {
        let from = if number == 1 { "from main\n" } else { "" };
        let _ = write!(
            stream,
            "commit refs/heads/work\ncommitter a <a@b> {number} +0000\ndata 1\nx{from}\n"
        );
    }
    t.feed(&["fast-import", "--quiet"], stream.as_bytes());
    let listed = t.ok(&["rev-list", "main..work"]);
    let pack = t.feed(
        &["pack-objects", "--revs", "--stdout", "-q"],
        b"work\n^main\n",
    );
    (listed.lines().map(str::to_owned).collect(), pack)
}

fn taken(commits: &[String]) -> Vec<RefUpdate> {
    let update = |commit: &String| RefUpdate {
        name: format!("refs/dkr/taken/fix/{commit}"),
        commit: commit.clone(),
    };
    commits.iter().map(update).collect()
}

fn deliver(t: &Sandbox, refs: &[RefUpdate]) -> Service {
    let refs = refs.iter().map(|update| update.name.clone()).collect();
    let program = Program::Deliver { refs, force: false };
    Service::new(&t.git_dir(), program).unwrap()
}

/// How many refs a take writes: `tests/run.sh` wants more.
fn ref_count() -> usize {
    let set = std::env::var("TESTKIT_REFS");
    set.map_or(2_000, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_refs_are_written_at_once() {
    let t = Sandbox::new(3);
    t.clone_host(&t.path("run"));
    let count = ref_count();
    let (ids, pack) = commits(&t, count);
    let updates = taken(&ids);
    let service = deliver(&t, &updates);
    let began = Instant::now();
    service.deliver(&updates, &*pack, &t.env()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(100));
    let written = t.host(&["for-each-ref", "--format=%(refname)", "refs/dkr/taken/"]);
    assert_eq!(written.lines().count(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_refs_that_were_named_is_written() {
    let t = Sandbox::new(3);
    t.clone_host(&t.path("run"));
    let (ids, pack) = commits(&t, 2);
    let updates = taken(&ids);
    let service = deliver(&t, &updates[..1]);
    let before = t.host(&["for-each-ref"]);
    let id = &ids[0];
    let odd = [
        (updates[1].name.as_str(), ids[1].as_str()),
        ("refs/heads/main", id),
        (&updates[0].name, &format!("{id} refs/heads/main\0")),
        (&updates[0].name, "main"),
    ];
    for (name, commit) in odd {
        let update = RefUpdate {
            name: name.to_owned(),
            commit: commit.to_owned(),
        };
        let all = [updates[0].clone(), update];
        let error = service.deliver(&all, &*pack, &t.env()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Bug, "{error}");
    }
    assert_eq!(t.host(&["for-each-ref"]), before);
}
