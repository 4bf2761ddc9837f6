//! `dkr take` and `dkr diff`: a container's work comes to the host, and nothing else happens there.

use serde_json::{Value, json};

use super::containers::{baked, detached, inside, row};
use super::start_image::{hostname, start};
use crate::support::{Api, Repo, Sandbox};

/// The files of the repository that changed, but for those that `take` may write.
fn others_changed(repo: &Repo, before: &crate::support::RepoState) -> Vec<String> {
    let own = [
        format!("git:/refs/heads/{}", hostname()),
        format!("git:/logs/refs/heads/{}", hostname()),
        "git:/refs/dkr".to_owned(),
        "git:/objects/".to_owned(),
    ];
    let mut changed = repo.state().changed_since(before);
    changed.retain(|path| !own.iter().any(|own| path.starts_with(own)));
    changed
}

/// Puts a hook of every kind and every program that git's configuration can name into the
/// repository; whichever runs makes the file that is returned.
fn traps(t: &Sandbox, repo: &Repo) -> std::path::PathBuf {
    let canary = t.path().join("canary");
    let script = format!("#!/bin/sh\necho \"$0\" >>{canary:?}\n");
    for hook in [
        "pre-receive",
        "update",
        "post-receive",
        "post-update",
        "reference-transaction",
        "push-to-checkout",
        "proc-receive",
        "post-index-change",
        "pre-auto-gc",
    ] {
        repo.executable(&format!(".git/hooks/{hook}"), &script);
    }
    repo.executable(".git/trap", &script);
    let trap = repo.path().join(".git/trap");
    let trap = trap.to_str().unwrap();
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.alternateRefsCommand",
        "core.sshCommand",
        "gpg.program",
        "diff.external",
        "uploadpack.packObjectsHook",
    ] {
        repo.git(["config", key, trap]);
    }
    canary
}

#[test]
fn work_is_taken_from_a_container_that_runs_and_from_one_that_does_not() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let canary = traps(&t, &repo);
    repo.file("README", "changed by the user\n")
        .file("mine", "x");
    let before = repo.state();
    let name = t.unique("work");
    detached(&t, &repo, &name);
    inside(
        &t,
        &name,
        "git commit -q --allow-empty -m one; echo two >two; git add two; git commit -q -m two
         echo x >>README; echo new >'a file'; mkdir -p deep; echo deep >deep/new",
    );
    let branch = format!("{}/{name}", hostname());
    let wip = format!("refs/dkr/wip/{name}");
    let taken = t.dkr(["take", &name]).success();
    assert_eq!(taken.stdout, format!("{branch}\n{wip}\n"));
    assert_eq!(
        repo.output(["log", "--format=%s", &branch]),
        "two\none\nadd a\ninitial"
    );
    let files = ["show", "--format=%an", "--name-status", &wip];
    assert_eq!(
        repo.output(files),
        "Test\n\nM\tREADME\nA\ta file\nA\tdeep/new"
    );
    assert_eq!(repo.rev(&format!("{wip}^")), repo.rev(&branch));
    let again = t.dkr(["take", &name]).success();
    assert_eq!(again.stdout, "");
    again.stderr_has("already has all work of `");
    let work = &row(&t, &name)["work"];
    assert_eq!(
        (&work["safe"], &work["untracked"]),
        (&json!(true), &json!(2)),
        "{work}"
    );

    // It goes on, and what came since is not safe until it is taken, too.
    inside(&t, &name, "echo y >>README; git commit -qam three");
    assert_eq!(row(&t, &name)["work"]["only_there"]["commits"], 1);
    // What ends after a take says whether that was all, and so does what is taken at rest.
    let stopped = t.dkr(["stop", &name]).success();
    stopped.stderr_has(": it has unsaved work (1 commit and 2 untracked files)\n");
    let taken = t.dkr(["take", &name]).success();
    assert_eq!(taken.stdout, format!("{branch}\n{wip}\n"));
    assert_eq!(row(&t, &name)["work"]["safe"], true);
    let pruned = t.dkr(["prune", ".", "--dry-run"]).in_dir(&repo).success();
    assert!(!pruned.stderr.contains("keeping"), "{pruned}");
    assert_eq!(repo.output(["log", "-1", "--format=%s", &branch]), "three");
    assert_eq!(
        repo.output(["diff", "--name-only", &branch, &wip]),
        "a file\ndeep/new"
    );
    t.dkr(["rm", &name]).success();

    assert_eq!(others_changed(&repo, &before), Vec::<String>::new());
    assert!(!canary.exists(), "{:?}", std::fs::read_to_string(&canary));
    repo.git(["fsck", "--strict"]);
}

#[test]
fn what_is_on_no_branch_is_taken_too() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("odd");
    let script = "echo a >>README; git stash -q
        git checkout -q -b topic; git commit -q --allow-empty -m 'on a topic'
        git checkout -q --detach host/main; git commit -q --allow-empty -m 'on no branch'
        echo new >new";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    for what in [
        "the branch `topic`",
        "the detached HEAD",
        "a stash entry",
        "uncommitted",
    ] {
        taken.stderr_has(what);
    }
    let refs: Vec<&str> = taken.stdout.lines().collect();
    assert_eq!(refs.len(), 4, "{taken}");
    let subjects = refs
        .iter()
        .map(|name| repo.output(["log", "-1", "--format=%s", name]));
    let subjects: Vec<String> = subjects.collect();
    assert_eq!(subjects[..2], ["on no branch", "on a topic"]);
    assert!(subjects[2].starts_with("WIP on "), "{subjects:?}");
    t.dkr(["rm", &name]).success();

    let name = t.unique("tag");
    let script =
        "git commit -q --allow-empty -m tagged; git tag -m v1 v1; git reset -q --hard HEAD~
        git worktree add -q --detach /tmp/other; echo new >/tmp/other/new";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    taken.stderr_has("took the commit of the tag `v1` at");
    taken.stderr_has("took the uncommitted changes of the worktree `/tmp/other` at");
    let log = repo.output([
        "for-each-ref",
        "--sort=subject",
        "--format=%(subject)",
        &format!("refs/dkr/taken/{name}"),
    ]);
    assert_eq!(log, "Uncommitted work of a detached HEAD\ntagged");
    assert_eq!(t.dkr(["take", &name]).success().stdout, "");
    t.dkr(["rm", &name]).success();

    let name = t.unique("rebase");
    let script = "git commit -q --allow-empty -m one
        GIT_SEQUENCE_EDITOR='echo break >' git rebase -q -i HEAD~1 >/dev/null 2>&1";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    taken.stderr_has("HEAD in the middle of a rebase");
    t.dkr(["rm", &name]).success();

    // What is staged and in no file any more.
    let name = t.unique("staged");
    let script = "echo precious >new; git add new; rm new";
    let ended = start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    ended.stderr_has("(1 staged version of a file)\n");
    let taken = t.dkr(["take", &name]).success();
    taken.stderr_has("took staged versions of files at");
    let place = taken.stdout.lines().find(|line| line.contains("/taken/"));
    let place = format!("{}:new", place.unwrap());
    assert_eq!(repo.output(["show", &place]), "precious");
    t.dkr(["rm", &name]).success();

    // A repository in the repository is not, and is not forgotten either.
    let name = t.unique("nested");
    let script =
        "git init -q inner; git -C inner commit -q --allow-empty -m x; git add inner 2>/dev/null
        git commit -q -m inner; git push -q; echo new >new";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    let left = "still has unsaved work (1 nested repository): `/workspace/inner`";
    taken.stderr_has(left);
    taken.stderr_has(":/workspace/inner FOLDER`\n");
    t.dkr(["take", &name]).success().stderr_has(left);
    let refused = t.dkr(["rm", &name]).failure(1);
    refused.stderr_has("has unsaved work (1 nested repository)\n");
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn what_cannot_be_taken_is_named_and_stays_work() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("odd");
    let script = "echo '*.bin filter=bad' >.gitattributes; git config filter.bad.required true
        git config filter.bad.clean false; echo content >a.bin; mkdir .GIT; echo x >.GIT/x; echo new >new";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    let wip = format!("refs/dkr/wip/{name}");
    assert_eq!(taken.stdout, format!("{wip}\n"));
    assert_eq!(repo.output(["show", &format!("{wip}:a.bin")]), "content");
    assert_eq!(repo.output(["show", &format!("{wip}:new")]), "new");
    taken.stderr_has(
        "took `/workspace/a.bin` unfiltered: the git filter fails or keeps the content elsewhere\n",
    );
    taken.stderr_has(&format!(
        "container `{name}` still has unsaved work (1 file that git cannot save): `/workspace/.GIT/x`\n"
    ));
    taken.stderr_has(":/workspace/.GIT/x FOLDER`\n");
    let refused = t.dkr(["rm", &name]).failure(1);
    refused.stderr_has(&format!(
        "container `{name}` has unsaved work (1 file that git cannot save)\n"
    ));
    assert_eq!(row(&t, &name)["work"]["only_there"]["unsaved"], 1);
    let shown = t.dkr(["diff", &name]).success();
    assert!(shown.stdout.contains("+content"), "{shown}");
    shown.stderr_has("cannot show `/workspace/.GIT/x`: git cannot save it\n");
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_ref_that_cannot_be_taken_does_not_stop_the_others() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("bad");
    let script = "git checkout -q -b hollow; echo gone >gone; git add gone; git commit -qm hollow
        blob=$(git rev-parse HEAD:gone); git checkout -q -; rm .git/objects/$(echo $blob | sed 's|..|&/|')
        git tag odd $(git cat-file commit HEAD | sed 's/^author .*/author nobody 1 +0000/' |
            git hash-object -t commit --literally -w --stdin)
        git commit -q --allow-empty -m fine; echo new >new";
    start(&t, &repo, &["--name", &name], &["sh", "-ec", script]).success();
    let taken = t.dkr(["take", &name]).success();
    let (branch, wip) = (
        format!("{}/{name}", hostname()),
        format!("refs/dkr/wip/{name}"),
    );
    assert_eq!(taken.stdout, format!("{branch}\n{wip}\n"));
    taken.stderr_has("warning: cannot take the branch `hollow`: ");
    taken.stderr_has("warning: cannot take the commit of the tag `odd`: ");
    taken.stderr_has(&format!(
        "warning: container `{name}` still has unsaved work (2 commits"
    ));
    assert_eq!(repo.output(["show", &format!("{wip}:new")]), "new");
    t.dkr(["rm", &name]).failure(1);
    t.dkr(["rm", "--force", &name]).success();
    repo.git(["fsck", "--strict"]);
}

#[test]
fn what_an_operation_in_progress_holds_is_taken() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let prepare = "git checkout -q -b theirs; echo theirs >>README; git commit -qam theirs
        git checkout -q -; echo ours >>README; git commit -qam ours; git push -q";
    let subjects = |name: &str| {
        repo.output([
            "for-each-ref",
            "--sort=subject",
            "--format=%(subject)",
            &format!("refs/dkr/taken/{name}"),
        ])
    };
    // What a rebase in another worktree put aside, and the commits that it has not come to.
    let name = t.unique("rebase");
    let script = format!(
        "{prepare}; git worktree add -q --detach /tmp/other; cd /tmp/other
         git commit -q --allow-empty -m z; echo aside >a; git add a
         ! git rebase -q --autostash theirs >/dev/null 2>&1"
    );
    let ended = start(&t, &repo, &["--name", &name], &["sh", "-ec", &script]).success();
    ended.stderr_has("1 stash entry and a rebase in progress)\n");
    let taken = t.dkr(["take", &name]).success();
    taken.stderr_has("HEAD in the middle of a rebase");
    taken.stderr_has("took HEAD from before the rebase at");
    let all = subjects(&name);
    for subject in ["autostash", "theirs", "z"] {
        let found = all.lines().any(|line| line.ends_with(subject));
        assert!(found, "{subject}: {all}");
    }
    t.dkr(["rm", &name]).success();

    // Patches are only files.
    let name = t.unique("patches");
    let script =
        format!("{prepare}; git format-patch -q --stdout -1 theirs >/tmp/p; ! git am -q /tmp/p");
    let ended = start(&t, &repo, &["--name", &name], &["sh", "-ec", &script]).success();
    ended.stderr_has("it has unsaved work (1 commit and a `git am` in progress)\n");
    let left = "still has unsaved work (a `git am` in progress): patches that are not yet applied are not taken";
    t.dkr(["take", &name]).success().stderr_has(left);
    t.dkr(["rm", &name]).failure(1);
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn commits_of_the_host_are_never_lost() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("both");
    let branch = format!("{}/{name}", hostname());
    detached(&t, &repo, &name);
    inside(
        &t,
        &name,
        "git commit -q --allow-empty -m theirs; git push -q",
    );
    repo.git(["checkout", "-q", &branch]);
    repo.file("review", "x").commit("mine");
    let mine = repo.rev("HEAD");
    inside(
        &t,
        &name,
        "git commit -q --amend --allow-empty -m amended; echo x >new",
    );
    let refused = t.dkr(["take", &name]).failure(1);
    // It is checked out, and has other commits.
    assert!(refused.stderr.contains("hint: "), "{refused}");
    assert_eq!(repo.rev(&branch), mine);
    let wip = format!("refs/dkr/wip/{name}");
    let refs = repo.output(["for-each-ref", "--format=%(refname)", &wip]);
    assert_eq!(refs, "", "all or nothing");
    repo.git(["checkout", "-q", "main"]);
    let refused = t.dkr(["take", &name]).failure(1);
    refused.stderr_has("has commits that the container does not have");
    refused.stderr_has(&format!("dkr take --force {name}"));
    t.dkr(["take", "--force", &name]).success();
    assert_eq!(
        repo.output(["log", "-1", "--format=%s", &branch]),
        "amended"
    );
    t.dkr(["rm", "--force", &name]).success();

    // Another container of that name takes the place of the first, whose work stays.
    let first = repo.rev(&wip);
    detached(&t, &repo, &name);
    inside(&t, &name, "echo other >other");
    t.dkr(["take", &name])
        .success()
        .stderr_has("an earlier container of that name");
    assert_ne!(repo.rev(&wip), first);
    assert_eq!(
        repo.rev(&format!("refs/dkr/taken/{name}/{}", &first[..12])),
        first
    );
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn little_is_sent_and_a_liar_writes_nothing() {
    let t = Sandbox::new();
    let repo = baked(&t);
    repo.commits(300);
    t.dkr(["update-image"]).in_dir(&repo).success();
    let name = t.unique("small");
    detached(&t, &repo, &name);
    inside(&t, &name, "echo x >new");
    repo.commits(20);
    let objects = || {
        let count = repo.output(["count-objects", "-v"]);
        let number = |key: &str| -> u64 {
            let line = count.lines().find(|line| line.starts_with(key)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        number("count:") + number("in-pack:")
    };
    let before = objects();
    t.dkr(["take", &name]).success();
    // A blob, a tree and a commit.
    assert_eq!(objects(), before + 3);

    // What a container says is not believed: a pack without what the commit needs.
    let liar = "printf '%s\\n' '#!/bin/sh' \
        'case \"$*\" in *pack-objects*) exec /usr/bin/git pack-objects --stdout </dev/null;; esac' \
        'exec /usr/bin/git \"$@\"' >/usr/local/bin/git; chmod +x /usr/local/bin/git; echo y >other";
    inside(&t, &name, liar);
    let wip = format!("refs/dkr/wip/{name}");
    let before = repo.rev(&wip);
    let refused = t.dkr(["take", &name]).failure(1);
    refused.stderr_has("cannot write commits to");
    assert_eq!(repo.rev(&wip), before);
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_diff_shows_everything_since_the_branch_point() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("diff");
    detached(&t, &repo, &name);
    inside(
        &t,
        &name,
        "echo committed >one; git add one; git commit -qm one; echo new >new; echo x >>README",
    );
    repo.file("later", "x").commit("later");
    let shown = t.dkr(["diff", &name]).success();
    for line in ["+committed", "+new", "+x"] {
        assert!(shown.stdout.contains(line), "{shown}");
    }
    assert!(!shown.stdout.contains("later") && !shown.stdout.contains('\u{1b}'));
    assert_eq!(shown.stdout.matches("diff --git").count(), 3);
    // Stopped, and in the user's pager with colours.
    t.dkr(["stop", &name]).success();
    let stat = t.dkr(["diff", "--stat", &name]).success();
    assert!(stat.stdout.contains("3 files changed"), "{stat}");
    let pager = "sed 's/^/paged: /'; sleep 2";
    let terminal = t.dkr(["diff", &name]).env("GIT_PAGER", pager);
    let terminal = terminal.env("TERM", "screen-256color").terminal(100, 50);
    let screen = terminal.wait_for("+committed");
    assert!(screen.contains("paged: "), "{screen}");
    let screen = terminal.screen_with_colours();
    assert!(screen.contains("\u{1b}[32m"), "{screen}");
    assert_eq!(terminal.exit_code(), 0);
    let api = Api::of_machine();
    let state = api.get(&format!("/containers/{name}/json"))["State"]["Running"].clone();
    assert_eq!(state, Value::Bool(false));
    t.dkr(["rm", "--force", &name]).success();
}
