//! Which refs the work of a container becomes.

use super::*;
use crate::container::labels::{PUSH_PREFIX, WORK_BRANCH};
use crate::container::work::report::Operation;
use crate::engine::containers::ContainerId;

fn places() -> SavedRefs {
    let labels = [(WORK_BRANCH, "fix"), (PUSH_PREFIX, "box")];
    SavedRefs::of(&ListedContainer {
        id: ContainerId("c1".to_owned()),
        name: "fix".to_owned(),
        image: String::new(),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        state: "running".to_owned(),
        command: String::new(),
        created: chrono::DateTime::UNIX_EPOCH,
    })
}

fn planned(report: &WorkReport, safe: &[&str], wip: Option<CommitAt>) -> Vec<(String, String)> {
    let plan = Plan {
        report,
        places: &places(),
        container: "c1",
        is_safe: &|id: &str| safe.contains(&id),
        is_taken: &|id: &str| safe.contains(&id),
        wip,
    };
    let taken = plan.make().into_iter();
    taken
        .map(|taken| (taken.update.name, taken.update.commit))
        .collect()
}

fn pairs(refs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, id): &(&str, &str)| ((*name).to_owned(), (*id).to_owned());
    refs.iter().map(pair).collect()
}

#[test]
fn each_piece_of_work_has_its_place() {
    let tip = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    let mut report = WorkReport {
        head: "c".into(),
        tips: vec![
            tip("a", "refs/heads/fix"),
            tip("b", "refs/heads/topic"),
            tip("c", "HEAD"),
        ],
        stash: vec!["s".into()],
        tree: Some("t".into()),
        wip: Some("w".into()),
        ..WorkReport::default()
    };
    let all = pairs(&[
        ("refs/heads/box/fix", "a"),
        ("refs/dkr/taken/fix/b", "b"),
        ("refs/dkr/taken/fix/c", "c"),
        ("refs/dkr/taken/fix/s", "s"),
        ("refs/dkr/wip/fix", "w"),
    ]);
    assert_eq!(planned(&report, &[], None), all);
    let rest = pairs(&[("refs/dkr/taken/fix/c", "c"), ("refs/dkr/wip/fix", "w")]);
    assert_eq!(planned(&report, &["a", "b", "s"], None), rest);
    report.operations = vec![Operation {
        name: "rebase".into(),
        head: None,
    }];
    report.tips.retain(|(_, name)| name != "HEAD");
    assert_eq!(planned(&report, &["a", "b", "s"], None), rest);
    report.tips[0].0 = "c".into();
    let both = pairs(&[
        ("refs/heads/box/fix", "c"),
        ("refs/dkr/taken/fix/c", "c"),
        ("refs/dkr/wip/fix", "w"),
    ]);
    assert_eq!(planned(&report, &["b", "s"], None), both);
}

#[test]
fn an_uncommitted_state_is_taken_once_and_never_lost() {
    let report = WorkReport {
        head: "h".into(),
        tree: Some("t".into()),
        wip: Some("w2".into()),
        ..WorkReport::default()
    };
    let before = |tree: &str, container: &str| {
        Some(CommitAt {
            id: "w1".into(),
            tree: tree.into(),
            parent: Some("h".into()),
            message: format!("Uncommitted work of fix\n\nContainer: {container}\n"),
        })
    };
    assert_eq!(planned(&report, &[], before("t", "c1")), []);
    let own = pairs(&[("refs/dkr/wip/fix", "w2")]);
    assert_eq!(planned(&report, &[], before("x", "c1")), own);
    let other = pairs(&[("refs/dkr/taken/fix/w1", "w1"), ("refs/dkr/wip/fix", "w2")]);
    assert_eq!(planned(&report, &[], before("x", "c2")), other);
}
