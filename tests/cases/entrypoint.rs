//! The entrypoint of an image, run by this machine's shell and git in a copy-on-write view of its
//! file system: nothing that it writes or starts outlives a test. That needs root, for `mount` and
//! `chroot`.

use std::process::Command;

/// Makes the view; the script that is $1 is then run in it, with an environment of its own.
const ENTER: &str = r#"
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
exec env -i PATH="$PATH" HOME=/home/test ASSETS="$3" timeout 180 chroot "$2/root" sh -euc "$1"
"#;

/// An image of a repository with one commit, made as an image is: /srv/host.git is the user's.
const IMAGE: &str = r#"
lib=/usr/local/lib/dkr
mkdir -p "$lib" "$HOME"
for file in entrypoint.sh attach.sh move.sh work.sh changes.sh nested.sh save.sh commits.sh term.sh tmux.conf \
    gitconfig workconfig; do
    cp "$ASSETS/$file" "$lib"
done
cp "$ASSETS/adjectives.txt" "$lib/adjectives"
cp "$ASSETS/nouns.txt" "$lib/nouns"
chmod +x "$lib"/*.sh
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q --bare -b main /srv/host.git
git init -q -b main /srv/user
user() { git -C /srv/user "$@"; }
inside() { git -C /workspace "$@"; }
commit() { # FILE TEXT: a new commit of the user's
    printf '%s\n' "$2" >"/srv/user/$1"
    user add -A
    user commit -qm "$2"
    user push -qf /srv/host.git main
}
commit README one
commit other one
git clone -q -o host /srv/host.git /workspace
inside update-ref refs/dkr/baked HEAD
mkdir /outside && cd /workspace
export DKR_BRANCH=main DKR_REF=refs/heads/main DKR_WORK_BRANCH=work
# What is there before the first start is the image's.
baked() { [ -e .git/dkr-baseline ] || "$lib/work.sh" record; }
start() { baked && "$lib/entrypoint.sh" "$@" 2>/outside/messages; }
log() { inside log --format=%s "$@"; }
"#;

/// Runs `script` in the image and returns what it prints.
pub fn in_image(script: &str) -> String {
    let view = tempfile::tempdir().expect("a folder to mount on");
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-euc",
            ENTER,
            "sh",
        ])
        .arg(format!("{IMAGE}\n{script}"))
        .arg(view.path())
        .arg(assets)
        .output()
        .expect("unshare runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).expect("the script prints text")
}

#[test]
fn a_known_tip_is_taken_without_the_host_and_with_few_git_processes() {
    let printed = in_image(
        r#"
tip=$(git rev-parse HEAD)
mv /srv/host.git /srv/gone
baked
mkdir /counting
printf '#!/bin/sh\necho . >>/outside/count\nexec %s "$@"\n' "$(command -v git)" >/counting/git
chmod +x /counting/git
PATH=/counting:$PATH DKR_TIP=$tip DKR_HOST_URL=/srv/host.git DKR_USER_NAME=n start true
wc -l </outside/count
cat /outside/messages
git status --short --branch
git config user.name
"#,
    );
    let mut lines = printed.lines();
    assert_eq!(lines.next(), Some("5"));
    let message = lines.next().expect("a message");
    assert!(message.starts_with("Working copy updated to "), "{message}");
    assert!(message.ends_with(" on branch work (tracking host/main)"));
    assert_eq!(lines.collect::<Vec<_>>(), ["## work...host/main", "n"]);
}

#[test]
fn new_commits_are_fetched_and_what_post_clone_left_moves_onto_them() {
    let printed = in_image(
        r#"
echo built >output
echo generated >generated && git add generated && git commit -qm 'post_clone commits'
echo changed >>other
commit README two
start true
cat /outside/messages | sed "s/$(git rev-parse --short HEAD)/TIP/"
log -n 3
cat README output
git status --short
git stash list
"#,
    );
    assert_eq!(
        printed,
        "Working copy updated to TIP on branch work (tracking host/main)\n\
         post_clone commits\ntwo\none\ntwo\nbuilt\n M other\n?? output\n"
    );
}

#[test]
fn a_changed_file_that_the_new_commits_leave_alone_stays_changed() {
    let printed = in_image(
        "echo changed >>other; commit README two; start true; git status --short; log -n 1",
    );
    assert_eq!(printed, " M other\ntwo\n");
}

#[test]
fn when_what_post_clone_left_conflicts_the_images_own_state_is_kept() {
    let overwritten = "error: The following untracked working tree files would be overwritten by \
                       checkout: new";
    for (left, what) in [
        ("echo mine >README", "README"),
        ("echo mine >README && git add README", "README"),
        ("echo mine >README && git commit -qam mine", "README"),
        ("echo mine >new", overwritten),
        (
            "git commit -q --allow-empty -m mine; echo mine >README; echo mine >other",
            "README, other",
        ),
    ] {
        let printed = in_image(&format!(
            r#"
{left}
before=$(git rev-parse HEAD; git status --short; cat README other)
echo theirs >/srv/user/new
echo theirs >/srv/user/other
commit README two
start true
after=$(git rev-parse HEAD; git status --short; cat README other)
[ "$before" = "$after" ] || echo "$before / $after"
sed 2d /outside/messages
git symbolic-ref HEAD
git stash list
"#
        ));
        assert_eq!(
            printed,
            format!(
                "warning: what [post_clone] left conflicts with `host/main` ({what}): \
                 continuing from the baked commit\nrefs/heads/work\n"
            ),
            "{left}"
        );
    }
}

#[test]
fn a_forced_push_does_not_bring_the_old_commits_along() {
    let printed = in_image(
        r#"
echo x >generated && git add generated && git commit -qm 'post_clone commits'
user reset -q --hard HEAD~1
commit README 'another two'
start true
log
"#,
    );
    assert_eq!(printed, "post_clone commits\nanother two\none\n");
}

#[test]
fn a_branch_of_another_remote_is_followed_and_not_the_local_one_of_its_name() {
    let printed = in_image(
        r#"
user push -q /srv/host.git main:refs/remotes/space/main
git config remote.host.fetch '+refs/remotes/space/*:refs/remotes/host/*'
commit README local
user reset -q --hard HEAD~1
echo remote >/srv/user/README && user commit -qam remote
user push -q /srv/host.git main:refs/remotes/space/main
export DKR_REF=refs/remotes/space/main
start true
log -n 1
git rev-parse --abbrev-ref '@{upstream}'
git commit -q --allow-empty -m work && git push -q
git -C /srv/host.git log -n 1 --format=%s "refs/heads/$(hostname)/work"
git -C /srv/host.git log -n 1 --format=%s main
"#,
    );
    assert_eq!(printed, "remote\nhost/main\nwork\nlocal\n");
}

#[test]
fn a_commit_on_no_branch_gets_a_working_branch_without_upstream() {
    let printed = in_image(
        r#"
git checkout -q --detach
commit README two
DKR_REF='' DKR_BRANCH='' start true
sed "s/$(git rev-parse --short HEAD)/ID/" /outside/messages
git status --short --branch
git push -q
git -C /srv/host.git for-each-ref --format='%(refname)' "refs/heads/$(hostname)" |
    sed "s/$(hostname)/HOST/"
"#,
    );
    assert_eq!(
        printed,
        "Working copy updated to ID on branch work\n## work\nrefs/heads/HOST/work\n"
    );
}

#[test]
fn names_are_never_run_nor_taken_for_options() {
    let names = [
        ("-x", "a$(touch${IFS}outside)"),
        ("a`id`'\"", "it's"),
        ("ü%s", "a\"b;c#d"),
    ];
    for (branch, work) in names {
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let (branch, work) = (quote(branch), quote(work));
        let printed = in_image(&format!(
            r#"
user push -q /srv/host.git "main:refs/heads/"{branch}
git fetch -q
echo two >/srv/user/README && user commit -qam two
user push -q /srv/host.git "main:refs/heads/"{branch}
export DKR_BRANCH={branch} DKR_REF=refs/heads/{branch} DKR_WORK_BRANCH={work}
DKR_USER_NAME='-n "\$(id)' DKR_USER_EMAIL='-e
x' start true
log -n 1
[ "$(git symbolic-ref HEAD)" = "refs/heads/"{work} ]
[ "$(git rev-parse --symbolic-full-name '@{{upstream}}')" = "refs/remotes/host/"{branch} ]
git push -q
git -C /srv/host.git rev-parse --verify -q "refs/heads/$(hostname)/"{work} >/dev/null
git config user.name
git config user.email
git status --short
ls /outside
"#
        ));
        assert_eq!(printed, "two\n-n \"\\$(id)\n-ex\nmessages\n");
    }
}

#[test]
fn a_host_that_does_not_answer_is_a_warning_of_one_line() {
    let printed = in_image(
        r#"
DKR_HOST_URL=/srv/gone start true
sed -n 1p /outside/messages
rm .git/dkr-started
export GIT_SSH_COMMAND='sh -c "sleep 60"' DKR_FETCH_TIMEOUT=1
DKR_WORK_BRANCH=second DKR_HOST_URL=ssh://nowhere/x start true
sed -n 1p /outside/messages
git config remote.host.url
"#,
    );
    assert_eq!(
        printed,
        "warning: cannot fetch `main` from `host` (fatal: '/srv/gone' does not appear to be a git \
         repository): continuing from the baked commit\n\
         warning: cannot fetch `main` from `host` (no answer within 1 s): continuing from the \
         baked commit\nssh://nowhere/x\n"
    );
}

#[test]
fn a_second_start_goes_on_where_the_first_one_was() {
    let printed = in_image(
        r#"
start true
git commit -q --allow-empty -m work
echo dirty >>README
commit other two
start git status --short --branch
cat /outside/messages
"#,
    );
    assert_eq!(
        printed,
        "## work...host/main [ahead 1]\n M README\n\
         Working copy unchanged, started on branch work\n"
    );
}

#[test]
fn a_random_name_is_none_of_the_hosts() {
    let printed = in_image(
        r#"
echo only >"$lib/adjectives"
printf 'a\nb\n' >"$lib/nouns"
git update-ref refs/remotes/host/only-a HEAD
for _ in 1 2 3 4 5 6 7 8 9 10; do
    DKR_WORK_BRANCH='' start true
    git symbolic-ref --short HEAD
    git checkout -q main && git branch -qD only-b && rm .git/dkr-started
done
"#,
    );
    assert_eq!(printed, "only-b\n".repeat(10));
}

#[test]
fn the_workspace_is_trusted_whatever_is_in_the_file() {
    let trusted = r#""projects":{"/workspace":{"hasTrustDialogAccepted":true}}"#;
    for (before, after) in [
        ("", format!(r#"{{"hasCompletedOnboarding":true,{trusted}}}"#)),
        ("{}", format!(r#"{{"hasCompletedOnboarding":true,{trusted}}}"#)),
        (
            r#"{"theme":"dark"}"#,
            format!(r#"{{"hasCompletedOnboarding":true,{trusted},"theme":"dark"}}"#),
        ),
        (
            r#"{"hasCompletedOnboarding":true,"projects":{"/workspace":{"hasTrustDialogAccepted": false}}}"#,
            r#"{"hasCompletedOnboarding":true,"projects":{"/workspace":{"hasTrustDialogAccepted": true}}}"#
                .to_owned(),
        ),
    ] {
        let printed = in_image(&format!(
            "printf %s '{before}' >$HOME/.claude.json; start true; cat $HOME/.claude.json"
        ));
        assert_eq!(printed.trim_end(), after);
    }
}

#[test]
fn a_mounted_key_is_used_and_settings_are_kept() {
    let printed = in_image(
        r#"
start true
ls -A "$HOME"
mkdir -p /run/secrets && echo secret >/run/secrets/anthropic_key
start true
cat "$HOME/.claude/settings.json"
echo '{"model":"x"}' >"$HOME/.claude/settings.json"
start true
start true
cat "$HOME/.claude/settings.json"
"#,
    );
    assert_eq!(
        printed,
        ".claude.json\n\
         {\"apiKeyHelper\":\"cat /run/secrets/anthropic_key\"}\n\
         {\"apiKeyHelper\":\"cat /run/secrets/anthropic_key\",\"model\":\"x\"}\n"
    );
}

#[test]
fn the_command_has_stdin_its_own_status_and_the_signals() {
    let printed = in_image(
        r#"
printf 'a\nb' | start cat
echo
start sh -c 'exit 7' || echo $?
start sh -c 'kill -9 $$' || echo $?
for signal in INT TERM HUP QUIT USR1 PIPE; do
    # As a shell would start it that does not ignore signals for what is in the background.
    env --default-signal=INT,QUIT "$lib/entrypoint.sh" \
        sh -c 'echo ready >/outside/ready; exec sleep 60' 2>/outside/messages &
    until [ -e /outside/ready ]; do sleep 0.05; done
    rm /outside/ready
    kill -$signal $!
    wait $! 2>/dev/null || echo "$signal $?"
done
"#,
    );
    assert_eq!(
        printed,
        "a\nb\n7\n137\nINT 130\nTERM 143\nHUP 129\nQUIT 131\nUSR1 138\nPIPE 141\n"
    );
}

#[test]
fn without_a_command_tmux_runs_until_its_session_ends() {
    let printed = in_image(
        r#"
export TMUX_TMPDIR=/outside LANG=C.UTF-8
DKR_ATTACH=1 start &
until tmux has-session -t =main 2>/dev/null; do sleep 0.05; done
until tail -c 1 /outside/messages | od -An -c | grep -q '\\0'; do sleep 0.05; done
tmux display-message -p -t main '#{pane_current_path}'
tmux kill-session -t main
wait $!
echo $?
"#,
    );
    assert_eq!(printed, "/workspace\n0\n");
}
