//! What the work report of a container says (`assets/work.sh`), run by this machine's shell and git
//! as the entrypoint's own tests are.

use super::entrypoint::in_image;

/// What `script` prints after a first start, with `report`, which leaves out what differs from run
/// to run, at hand.
fn after_start(before: &str, script: &str) -> String {
    around_start(before, &format!("sleep 1; start true; sleep 1\n{script}"))
}

/// As [`after_start`], where `script` starts the container itself.
fn around_start(before: &str, script: &str) -> String {
    in_image(&format!(
        r#"
report() {{ # MODE: without ids
    "$lib/work.sh" "$@" | sed -E 's/ [0-9a-f]{{40}}/ ID/' | grep -v -e '^head' -e '^base' -e '^fork' -e '^dkr-work'
}}
{before}
{script}
"#
    ))
}

const CLEAN: &str = "branch work\nahead 0\nuntracked 0\nchanged 0\nnested 0\ncommits 0\n";

#[test]
fn nothing_done_is_nothing_to_lose() {
    assert_eq!(after_start("", "report report"), CLEAN);
}

#[test]
fn what_the_image_held_is_no_work_and_what_was_added_is() {
    let left = "echo built >output; mkdir deep && echo a >'deep/a b'; ln -s x link
        echo changed >>other; git rm -q --cached README; rm README
        echo generated >generated && git add generated && git commit -qm 'post_clone commits' generated";
    assert_eq!(
        after_start(left, "report report").replace("ahead 1", "ahead 0"),
        CLEAN
    );
    let printed = after_start(
        left,
        "echo more >>output; echo new >'deep/new file'; echo more >>other; echo x >deep/c; report report",
    );
    assert!(
        printed.contains("untracked 3\nchanged 1\nnested 0\n"),
        "{printed}"
    );
}

#[test]
fn a_start_in_the_second_of_the_bake_tells_what_the_image_held_from_work() {
    let left = "echo built >output; echo changed >>other; sleep 0.02";
    assert_eq!(around_start(left, "start true; report report"), CLEAN);
    let moved = format!("{left}; git commit -q --allow-empty -m built; commit README two");
    assert_eq!(
        around_start(&moved, "start true; report report").replace("ahead 1", "ahead 0"),
        CLEAN
    );
    let printed = around_start(left, "start sh -c 'echo more >>other'; report report");
    assert!(printed.contains("untracked 0\nchanged 1\n"), "{printed}");
}

#[test]
fn new_commits_of_the_host_are_no_work() {
    let left = "echo changed >>other; commit README two";
    assert_eq!(after_start(left, "report report"), CLEAN);
}

#[test]
fn every_kind_of_work_is_seen() {
    let printed = after_start(
        "",
        r"
git commit -q --allow-empty -m one; git push -q; git commit -q --allow-empty -m two
echo a >>other; git stash push -q
echo x >new; rm README; git init -q inner && git -C inner commit -q --allow-empty -m x
git branch topic; git checkout -q --detach; touch .git/MERGE_HEAD
report report",
    );
    assert_eq!(
        printed,
        "ahead 2\noperation merge\nuntracked 2\nchanged 1\nnested 1\nrepository /workspace/inner\nstash ID\ncommits 2\n\
         commit ID\ncommit ID\ntip ID HEAD\ntip ID refs/heads/topic\ntip ID refs/heads/work\n"
    );
}

#[test]
fn what_only_the_index_holds_is_work() {
    let staged = |before: &str, script: &str| {
        let tree = "id=$(\"$lib/work.sh\" take c | sed -n 's/^staged 1 //p'); [ -z \"$id\" ] || git show \"$id:f\"";
        after_start(
            before,
            &format!("{script}\nreport report | sed -n '/^staged/p'; {tree}"),
        )
    };
    let gone = staged("", "echo precious >f; git add f; rm f");
    assert_eq!(gone, "staged 1 ID\nprecious\n");
    let left = "echo one >f; git add f; git commit -qm f; git push -q host HEAD:main";
    let back = staged(left, "echo precious >f; git add f; echo one >f");
    assert_eq!(back, "staged 1 ID\nprecious\n");
    assert_eq!(staged(left, "echo two >f; git add f"), "");
    assert_eq!(staged("echo a >f; git add f; echo b >f", "true"), "");
}

/// A repository with a remote, `sub`, which is a submodule of the image's commit.
const SUBMODULE: &str = r"
git config --global protocol.file.allow always
git init -q --bare -b main /srv/sub.git; git clone -q /srv/sub.git /srv/sub 2>/dev/null
echo one >/srv/sub/file; git -C /srv/sub add file; git -C /srv/sub commit -qm one
git -C /srv/sub push -q origin HEAD:main
git submodule --quiet add /srv/sub.git sub; git commit -qm sub; git push -q host HEAD:main
git fetch -q; git update-ref refs/dkr/baked HEAD
own() { git -C sub commit -q --allow-empty -m own; }";

/// What the report says of files after `script`, in a line.
fn files(before: &str, script: &str) -> String {
    let lines = "-e '/^untracked/p' -e '/^changed/p' -e '/^nested/p'";
    let script = format!("{script}\nreport report | sed -n {lines} | paste -sd,");
    after_start(before, &script)
}

#[test]
fn work_in_a_submodule_is_work() {
    for (script, said) in [
        ("own", "untracked 1,changed 1,nested 1\n"),
        (
            "own; git commit -qam sub; git push -q",
            "untracked 1,changed 0,nested 1\n",
        ),
        (
            "own; git rm -qf sub; git commit -qm x",
            "untracked 1,changed 0,nested 1\n",
        ),
        ("echo x >>sub/file", "untracked 1,changed 0,nested 1\n"),
        (
            "git init -q sub/deep; echo x >sub/deep/x",
            "untracked 1,changed 0,nested 1\n",
        ),
        (
            "git -C sub checkout -q -B main; own; git -C sub push -q",
            "untracked 0,changed 1,nested 0\n",
        ),
        (
            "git -C sub status; git submodule update; git submodule deinit sub",
            "untracked 0,changed 0,nested 0\n",
        ),
    ] {
        let script = format!("{{ {script}; }} >/dev/null");
        assert_eq!(files(SUBMODULE, &script), said, "{script}");
    }
}

#[test]
fn what_the_image_held_in_a_submodule_is_no_work() {
    let none = "untracked 0,changed 0,nested 0\n";
    let built = format!(
        "{SUBMODULE}\necho x >sub/built; echo x >>sub/file; git -C sub checkout -q -b x; own"
    );
    assert_eq!(files(&built, "true"), none);
    let left = format!("{SUBMODULE}\nrm -r sub .git/modules; mkdir sub");
    assert_eq!(files(&left, "git submodule --quiet update --init"), none);
    // Neither is a repository that was cloned there, until something is done in it.
    let cloned = format!("{SUBMODULE}\ngit clone -q /srv/sub.git tool; echo x >tool/built");
    assert_eq!(files(&cloned, "true"), none);
    let one = "untracked 1,changed 0,nested 1\n";
    assert_eq!(files(&cloned, "echo x >>tool/file"), one);
    assert_eq!(
        files(&cloned, "git -C tool commit -q --allow-empty -m x"),
        one
    );
}

#[test]
fn work_in_an_embedded_repository_is_work() {
    let embed = "git init -q in; git -C in commit -q --allow-empty -m x
        git add in 2>/dev/null";
    assert_eq!(files("", embed), "untracked 1,changed 1,nested 1\n");
    let pushed = format!("{embed}; git commit -qm in; git push -q");
    assert_eq!(files("", &pushed), "untracked 1,changed 0,nested 1\n");
}

/// Two branches that change the same line, and `stopped`, for a command that ends in a conflict.
const CONFLICT: &str = r#"
git checkout -q -b theirs; echo theirs >other; git commit -qam theirs; git push -q host theirs:main
git checkout -q work; echo ours >other; git commit -qam ours; git push -q
stopped() { ! git "$@" >/dev/null 2>&1; }
"#;

#[test]
fn what_only_an_operation_in_progress_holds_is_work() {
    let said = |script: &str| {
        let script = format!(
            "{CONFLICT}{script}\nreport report | sed -n -e '/^operation/p' -e '/^stash/p' -e '/^tip/p'"
        );
        after_start("", &script)
    };
    let aside = said("echo more >>README; stopped rebase --autostash theirs");
    assert_eq!(
        aside,
        "operation rebase\nstash ID\ntip ID refs/heads/work\n\
         tip ID rebase-merge/orig-head\n"
    );
    let aside = said("echo more >>README; stopped rebase --apply --autostash theirs");
    assert!(aside.starts_with("operation rebase\nstash ID\n"), "{aside}");
    let merged = said("echo more >>README; stopped merge --autostash --no-commit theirs");
    assert!(
        merged.starts_with("operation merge\nstash ID\n"),
        "{merged}"
    );
    let detached =
        said("git checkout -q --detach; git commit -q --allow-empty -m z; stopped rebase theirs");
    assert!(
        detached.ends_with("tip ID rebase-merge/orig-head\n"),
        "{detached}"
    );
    let patched = said("git format-patch -q --stdout -1 theirs | stopped am");
    assert!(patched.starts_with("operation am\n"), "{patched}");
}

#[test]
fn an_operation_in_another_worktree_is_work() {
    let printed = after_start(
        "",
        &format!(
            r"{CONFLICT}
git worktree add -q -b topic /outside/outer; cd /outside/outer; echo more >>README
stopped rebase --autostash theirs; git reset -q --hard
report report | sed -n -e '/^operation/p' -e '/^stash/p'"
        ),
    );
    assert_eq!(printed, "operation rebase ID\nstash ID\n");
}

/// What the report says of refs after `script`.
fn tips(before: &str, script: &str) -> String {
    let script = format!("{script}\nreport report | sed -n -e '/^commits/p' -e '/^tip/p'");
    after_start(before, &script)
}

/// A commit of its own for each ref.
const ALONE: &str = r#"
alone() { git commit-tree -m "$1" -p HEAD 'HEAD^{tree}'; }"#;

#[test]
fn a_commit_that_any_ref_made_in_the_container_leads_to_is_work() {
    let made = format!(
        "{ALONE}
git tag light $(alone light)
git tag -m annotated annotated $(alone annotated)
git -c advice.nestedTag=false tag -m again again annotated
git notes add -m note
git update-ref refs/original/x $(alone original)"
    );
    let all = "commits 5\ntip ID refs/heads/work\ntip ID refs/notes/commits\n\
        tip ID refs/original/x\ntip ID refs/tags/again\ntip ID refs/tags/annotated\n\
        tip ID refs/tags/light\n";
    // The branch has a commit, too.
    let made = format!("{made}\ngit commit -q --allow-empty -m x");
    assert_eq!(tips("", &made), all);
    assert_eq!(tips("", &format!("{made}\ngit pack-refs --all")), all);
}

#[test]
fn tags_of_the_host_and_of_the_image_are_no_work() {
    let before = format!(
        "{ALONE}
git tag baked $(alone baked); git tag loose $(alone loose); git pack-refs --all --no-prune
git update-ref refs/notes/x $(alone notes)"
    );
    let named = "git tag named; git tag -m here message; git branch other
        commit README two; git fetch -q --tags host; git commit -q --allow-empty -m x";
    assert_eq!(tips(&before, named), "commits 1\ntip ID refs/heads/work\n");
}

#[test]
fn what_other_worktrees_hold_is_work() {
    let printed = after_start(
        "",
        r#"
git worktree add -q --detach inner; git worktree add -q -b topic /outside/outer
git worktree add -q /outside/clean; git worktree add -q --detach /outside/gone
git -C /outside/gone commit -q --allow-empty -m gone; rm -r /outside/gone
report report
echo --
git -C inner commit -q --allow-empty -m x
echo x >>/outside/outer/other; echo x >'/outside/outer/a b'; git init -q /outside/outer/nested
git -C /outside/outer/nested commit -q --allow-empty -m x
before=$(git count-objects)
report report >/outside/first
cat /outside/first
[ "$before" = "$(git count-objects)" ] || echo changed
sleep 1
id=$("$lib/work.sh" report | sed -n 's/^worktree 2 \([^ ]*\) .*/\1/p')
[ "$("$lib/work.sh" take 0a1b2c | sed -n 's/^worktree 2 \([^ ]*\) .*/\1/p')" = "$id" ] || echo other
git show --format=%B --name-status "$id"
"#,
    );
    let (clean, dirty) = printed.split_once("--\n").unwrap();
    let branch = "branch work\nahead 0\nuntracked 0\nchanged 0\nnested 0\n";
    assert_eq!(
        clean,
        format!("{branch}commits 1\ncommit ID\ntip ID worktrees/gone/HEAD\n")
    );
    assert_eq!(
        dirty,
        format!(
            "{branch}commits 2\ncommit ID\ncommit ID\ntip ID worktrees/gone/HEAD\n\
             tip ID worktrees/inner/HEAD\nuntracked 1\nnested 1\n\
             repository /outside/outer/nested\n\
             worktree 2 ID /outside/outer\n\
             Uncommitted work of topic\n\nWorktree: /outside/outer\n\n\nA\ta b\nM\tother\n"
        )
    );
}

#[test]
fn the_uncommitted_state_becomes_a_commit_and_nothing_else_changes() {
    let printed = after_start(
        "echo built >output",
        r#"
echo more >>other; echo new >"$(printf 'od\td "ü')"; echo staged >staged; git add staged; rm README
before=$(git status --porcelain; git count-objects; cat .git/index | sha1sum)
tree=$("$lib/work.sh" report tree | sed -n 's/^tree //p')
[ "$before" = "$(git status --porcelain; git count-objects; cat .git/index | sha1sum)" ] || echo changed
wip=$("$lib/work.sh" take 0a1b2c | sed -n 's/^wip //p')
[ "$(git rev-parse "$wip^{tree}")" = "$tree" ] || echo other
[ "$(git rev-parse "$wip^")" = "$(git rev-parse HEAD)" ] || echo orphan
git -c core.quotePath=false show --format=%B --name-status "$wip"
"#,
    );
    assert_eq!(
        printed,
        "Uncommitted work of work\n\nContainer: 0a1b2c\n\n\nD\tREADME\nA\t\"od\\td \\\"ü\"\nM\tother\nA\tstaged\n"
    );
}

#[test]
fn a_branch_without_a_commit_stands_where_the_work_began() {
    let printed = after_start(
        "",
        r#"
git checkout -q --orphan none; echo new >new; git add new
report report
"$lib/work.sh" diff --stat=60
git show --format=%s --name-status "$("$lib/work.sh" take c | sed -n 's/^wip //p')"
git config core.bare true; "$lib/work.sh" report | head -n 1
rm -r .git; "$lib/work.sh" report 2>&1 || :"#,
    );
    let clean = CLEAN.replace("branch work", "branch none");
    assert_eq!(
        printed,
        format!(
            "{}{}{}",
            clean.replace("changed 0", "changed 1"),
            " new | 1 +\n 1 file changed, 1 insertion(+)\nUncommitted work of none\n\nA\tnew\n",
            "dkr-work 1\nfatal: not a git repository: '/workspace/.git'\n"
        )
    );
}

#[test]
fn a_diff_is_against_the_branch_point() {
    let printed = after_start(
        "echo generated >generated && git add generated && git commit -qm 'post_clone commits'; echo built >output",
        r#"
echo committed >>other && git commit -qam work
echo new >new
commit README two; git fetch -q
"$lib/work.sh" diff --stat=60
"#,
    );
    assert_eq!(
        printed,
        " new   | 1 +\n other | 1 +\n 2 files changed, 2 insertions(+)\n"
    );
}

#[test]
fn the_end_leaves_a_report_and_rest_does_nothing() {
    let printed = after_start(
        "",
        r#"
rm -f .git/dkr-report
start true; ls .git | grep dkr-[rs] || :
DKR_KEEP=never start true; ls .git | grep dkr-report || :
echo x >new
DKR_KEEP=auto start sh -c 'exit 3' || echo "$?"
grep untracked .git/dkr-report
echo rest >.git/dkr-next
DKR_KEEP=auto "$lib/entrypoint.sh" touch /outside/ran &
sleep 1; kill $!; wait $! 2>/dev/null || :
ls /outside; ls .git | grep dkr-[rs]
"#,
    );
    assert_eq!(
        printed,
        "dkr-started\n3\nuntracked 1\nmessages\ndkr-report\ndkr-started\n"
    );
}
