//! `dkr init` and `dkr show-config`.

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::Sandbox;

#[test]
fn init_writes_a_template_that_changes_nothing_and_never_over_another_file() {
    let t = Sandbox::new();
    let repo = t
        .repo("linux")
        .file("src/a.c", "int a;\n")
        .commit("initial");
    let written = t.dkr(["init"]).in_dir(repo.path().join("src")).success();
    let path = repo.path().join(".dkr.conf");
    assert_eq!(written.stdout, format!("{}\n", path.display()));
    written.stderr_has("commit it");
    let plan = || t.dkr(["create-image", "--dry-run"]).in_dir(&repo).success();
    plan().stderr_has("`.dkr.conf` is not committed: the image is built with the defaults");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );

    repo.commit("dkr");
    let committed = plan();
    assert!(committed.stdout.contains("FROM fedora:43"), "{committed}");
    assert!(!committed.stderr.contains("committed"), "{committed}");
    std::fs::write(&path, "base_image = other\n").unwrap();
    let changed = plan();
    changed.stderr_has("has uncommitted changes: the image is built with the committed version");
    assert!(changed.stdout.contains("FROM fedora:43"), "{changed}");
    std::fs::write(&path, &text).unwrap();

    t.dkr(["init"])
        .in_dir(&repo)
        .failure(1)
        .stderr_has("it already exists");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    repo.remove(".dkr.conf").symlink(".dkr.conf", "elsewhere");
    t.dkr(["init"]).in_dir(&repo).failure(1);
    assert!(!repo.path().join("elsewhere").exists());
}

#[test]
fn init_writes_into_the_linked_worktree_it_is_called_in_and_no_bare_repository() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main:1");
    let linked = repo.worktree("linked", "topic").remove(".dkr.conf");
    let written = t.dkr(["init"]).in_dir(&linked).success();
    let path = linked.path().join(".dkr.conf");
    assert_eq!(written.stdout, format!("{}\n", path.display()));

    let bare = repo.bare_clone_to("linux.git");
    t.dkr(["init"])
        .in_dir(&bare)
        .failure(2)
        .stderr_has("bare repository");
    t.dkr(["init", "/"]).failure(3);
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let t = Sandbox::new();
    let file = t.path().join("config/dkr/dkr.conf");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "# mine\nstale = fail\nmax_behind = 7\n").unwrap();
    let show = |arguments: &[&str]| {
        let arguments = [&["show-config"], arguments].concat();
        t.dkr(arguments).env("DKR_MAX_BEHIND", "9").success().stdout
    };
    let shown: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!(shown["file"], file.to_str().unwrap());
    let settings = shown["settings"].as_array().unwrap();
    let setting = |key: &str| {
        let mut found = settings.iter().filter(|setting| setting["key"] == key);
        found.next().unwrap().clone()
    };
    assert_eq!(
        setting("stale"),
        json!({
            "key": "stale", "value": "fail", "source": "file", "line": 2,
            "variable": "DKR_STALE", "about": "what to do with a stale image",
        })
    );
    let max_behind = setting("max_behind");
    assert_eq!(
        (&max_behind["value"], &max_behind["source"]),
        (&json!("9"), &json!("variable"))
    );
    assert_eq!(setting("progress")["source"], "default");
    let key = t.home().join(".ssh/id_ed25519");
    assert_eq!(setting("ssh_key")["value"], key.to_str().unwrap());

    let table = show(&[]);
    let line = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(line("stale").starts_with("stale fail line 2"), "{table}");
    assert!(
        line("max_behind").starts_with("max_behind 9 DKR_MAX_BEHIND"),
        "{table}"
    );

    let wrong = t.dkr(["show-config"]).env("DKR_STALE", "yse").failure(2);
    wrong.stderr_has("invalid value `yse` for `stale` in the variable `DKR_STALE`");
    let wrong = t.dkr(["show-config"]).env("DKR_CPUS", "many").failure(2);
    wrong.stderr_has("invalid value `many` for `cpus` in the variable `DKR_CPUS`");
}
