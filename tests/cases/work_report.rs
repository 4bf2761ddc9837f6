//! What the work report of a container says (`assets/work.sh`), run by this machine's shell and git
//! as the entrypoint's own tests are.

use super::entrypoint::in_image;

/// What `script` prints after a first start, with `report`, which leaves out what differs from run
/// to run, at hand.
fn after_start(before: &str, script: &str) -> String {
    in_image(&format!(
        r#"
report() {{ # MODE: without ids
    "$lib/work.sh" "$@" | sed -E 's/ [0-9a-f]{{40}}/ ID/' | grep -v -e '^head' -e '^base' -e '^fork' -e '^dkr-work'
}}
{before}
sleep 1
start true
sleep 1
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
        "ahead 2\noperation merge\nuntracked 2\nchanged 1\nnested 1\nstash ID\ncommits 1\n\
         commit ID\ntip ID refs/heads/topic\ntip ID refs/heads/work\ntip ID HEAD\n"
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
