//! Variables, owners and a home that an image may give to its entrypoint.

use super::entrypoint::in_image;

#[test]
fn variables_lead_git_nowhere_else_and_are_the_commands() {
    let printed = in_image(
        r#"
commit README two
export GIT_DIR=/nonexistent GIT_WORK_TREE=/nonexistent GIT_INDEX_FILE=/nonexistent
export GIT_OBJECT_DIRECTORY=/nonexistent GIT_CONFIG=/nonexistent GIT_LITERAL_PATHSPECS=1 LC_ALL=nonsense
export GIT_TRACE=1 GIT_TRACE2=1
start printenv GIT_DIR
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_CONFIG GIT_TRACE GIT_TRACE2
cat /outside/messages | sed "s/$(git rev-parse --short HEAD)/TIP/"
log
git status --short
"#,
    );
    assert_eq!(
        printed,
        "/nonexistent\nWorking copy updated to TIP on branch work (tracking host/main)\ntwo\none\none\n"
    );
}

#[test]
fn a_path_without_git_is_said() {
    let printed = in_image(
        r#"
mkdir /tools && for tool in cat rm printf; do ln -s "$(command -v cat)" /tools/$tool; done
PATH=/tools "$lib/entrypoint.sh" true 2>/outside/messages || echo $?
cat /outside/messages
"#,
    );
    assert_eq!(printed, "1\nerror: `git` is not on PATH (/tools)\n");
}

#[test]
fn a_home_is_made_and_one_that_cannot_be_is_roots() {
    let printed = in_image(
        r#"
HOME=/home/else/where DKR_USER_NAME=n start sh -c 'echo $HOME; git config user.name'
rm .git/dkr-started
HOME=/dev/null DKR_WORK_BRANCH=second start sh -c 'echo $HOME'
sed '/^Working copy/d' /outside/messages
"#,
    );
    assert_eq!(printed, "/home/else/where\nn\n/root\n");
}

#[test]
fn who_was_given_the_work_tree_owns_what_the_start_writes() {
    let printed = in_image(
        r#"
git config --system --add safe.directory /workspace || git config --global --add safe.directory /workspace
chown -R 1000:1000 /workspace
mkdir /srv/user/folder && echo x >/srv/user/folder/new
commit README two
start true
find . -user 0 ! -name 'dkr-*'
export HOME=/tmp
setpriv --reuid=1000 --regid=1000 --clear-groups git commit -q --allow-empty -m mine
log -n 2
"#,
    );
    assert_eq!(printed, "mine\ntwo\n");
}
