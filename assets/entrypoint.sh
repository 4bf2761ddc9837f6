#!/bin/sh
# The entrypoint of every dkr image, called as `entrypoint.sh [COMMAND [ARGUMENT...]]`: puts the
# work tree on a working branch at the branch's newest commit, then runs the command, or a tmux
# server without one, until it ends. Prints on stderr only and never waits for an answer. A stopped
# container that is started again resumes where it was.
#
# DKR_BRANCH       the image's branch as the remote `host` has it: refs/remotes/host/$DKR_BRANCH
# DKR_REF          its full name in the host repository; empty: a commit that is on no branch
# DKR_WORK_BRANCH  the working branch to create; empty: a random name
# DKR_TIP          the commit that is the branch's tip, if known: nothing is fetched if it is here
# DKR_HOST_URL     the URL of `host` from now on
# DKR_USER_NAME, DKR_USER_EMAIL   git's identity if none is configured
# DKR_FETCH_TIMEOUT               seconds a fetch may take (120)
# DKR_BROKEN_REFS  set if the host has broken refs, which its git serves over SSH by default
# DKR_SSH_KEY      the name of a mounted key in ~/.ssh; with DKR_SSH_HOST, DKR_SSH_USER, DKR_SSH_PORT
#                  the server, and DKR_KNOWN_HOSTS the line that pins that server's host key
# DKR_ORIGIN_KNOWN_HOSTS  lines for ~/.ssh/known_hosts, with a forwarded agent: the server of the host
#                  repository's own `origin`
# DKR_KEEP         set by dkr: unless it is `never`, the work at the end of the command or session is
#                  written to .git/dkr-report; and unless the container was stopped, .git/dkr-ended is
#                  created
# DKR_ATTACH       set by dkr, which attaches to tmux itself: a NUL byte on stderr then means that
#                  the session is ready and that no message follows
#
# All of these are data: they are never evaluated and never passed where git expects an option.
# refs/dkr/baked, created with the image, is the commit it was built at. In .git/dkr-next dkr sets what
# the next start does, once: `rest`, so that dkr can inspect a stopped container, or `session`, a tmux
# server instead of the command.
set -u

lib=/usr/local/lib/dkr
workspace=/workspace
started=$workspace/.git/dkr-started # has the working branch once it is created, and its first commit
next=$workspace/.git/dkr-next
report=$workspace/.git/dkr-report
config=$workspace/.git/config
ended=$workspace/.git/dkr-ended
key=/run/secrets/anthropic_key
HOME=${HOME:-/root}
[ -d "$HOME" ] || mkdir -p "$HOME" 2>/dev/null || HOME=/root
LANG=${LANG:-C.UTF-8}
export HOME LANG

# The command gets all of stdin; nothing that runs before it may read from it.
exec 3<&0 </dev/null

say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }
fail() {
    say "error: $*"
    exit 1
}

# Variables that would redirect git, override the settings for the workspace, or make it verbose.
# The command keeps them.
foreign='GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_SHALLOW_FILE GIT_GRAFT_FILE GIT_CONFIG GIT_PREFIX
GIT_REPLACE_REF_BASE GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS
GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM GIT_TRACE GIT_TRACE2 GIT_TRACE_SETUP GIT_TRACE_PERFORMANCE'

# git in the workspace, regardless of other configuration; with English messages.
# shellcheck disable=SC2086 # a word each
repo() (
    unset $foreign
    export LC_ALL=C GIT_REF_PARANOIA=0
    exec ${limit:-} git -C "$workspace" -c include.path="$lib/gitconfig" "$@"
)

# --- Claude Code ---------------------------------------------------------------------------------

# add_members FILE MEMBERS: inserts JSON members at the start of the object in FILE, which is created
# if necessary. The image may have no JSON tool: a file that does not begin with `{` is left alone.
add_members() {
    content=
    [ ! -f "$1" ] || content=$(cat "$1")
    case $(printf %s "$content" | tr -d '[:space:]') in
    '' | '{}') printf '{%s}\n' "$2" >"$1" ;;
    '{'*) printf '{%s,%s\n' "$2" "${content#*\{}" >"$1" ;;
    esac
}

# Trusts the workspace. A file that [post_clone] left is changed only where it must be; projects it
# lists without an answer about trust stay as they are.
trust_workspace() {
    file=$HOME/.claude.json
    trust="\"projects\":{\"$workspace\":{\"hasTrustDialogAccepted\":true}}"
    if [ ! -s "$file" ]; then
        printf '{"hasCompletedOnboarding":true,%s}\n' "$trust" >"$file"
        return
    fi
    if grep -q '"hasTrustDialogAccepted"[[:space:]]*:[[:space:]]*false' "$file"; then
        content=$(sed 's/\("hasTrustDialogAccepted"[[:space:]]*:[[:space:]]*\)false/\1true/g' "$file")
        printf '%s\n' "$content" >"$file"
    elif ! grep -q '"projects"' "$file"; then
        add_members "$file" "$trust"
    fi
    grep -q '"hasCompletedOnboarding"' "$file" ||
        add_members "$file" '"hasCompletedOnboarding":true'
}

use_anthropic_key() {
    file=$HOME/.claude/settings.json
    mkdir -p "$HOME/.claude" || return
    ! grep -q '"apiKeyHelper"' "$file" 2>/dev/null || return
    add_members "$file" "\"apiKeyHelper\":\"cat $key\""
}

# --- SSH -----------------------------------------------------------------------------------------

# The mounted key is only for the host. Existing settings of an agent or user are kept.
use_ssh_key() {
    folder=$HOME/.ssh
    mark="# dkr: the host"
    mkdir -p "$folder" && chmod 700 "$folder" || return
    printf '%s\n' "${DKR_KNOWN_HOSTS:-}" >"$folder/dkr_known_hosts"
    ! grep -qF "$mark" "$folder/config" 2>/dev/null || return 0
    others=$(cat "$folder/config" 2>/dev/null)
    cat >"$folder/config" <<EOF
$mark
Host ${DKR_SSH_HOST:-}
    User ${DKR_SSH_USER:-root}
    Port ${DKR_SSH_PORT:-22}
    IdentityFile $folder/$DKR_SSH_KEY
    IdentitiesOnly yes
    UserKnownHostsFile $folder/dkr_known_hosts
    StrictHostKeyChecking yes
Host *
$others
EOF
    chmod 600 "$folder/config"
}

# The servers that a forwarded agent may be used with. Known hosts are kept.
know_origin() {
    file=$HOME/.ssh/known_hosts
    mkdir -p "${file%/*}" && chmod 700 "${file%/*}" || return
    while IFS= read -r line; do
        grep -qxF -e "$line" "$file" 2>/dev/null || printf '%s\n' "$line" >>"$file"
    done <<EOF
$DKR_ORIGIN_KNOWN_HOSTS
EOF
}

# --- git -----------------------------------------------------------------------------------------

settings='^(user\.(name|email)|remote\.host\.url|url\..*insteadof|core\.sshcommand|protocol\.allow|ssh\.variant|'\
'filter\..*\.(smudge|process)|push\.(followtags|gpgsign|pushoption|recursesubmodules))$'

# Reads in one process what the start needs to know of git's configuration.
read_config() {
    user_name='' user_email='' url='' ssh_command=ssh rewrites='' filters='' push_settings='' ssh_settings=''
    while read -r name value; do
        case $name in
        url.*) rewrites=yes ;;
        filter.*)
            name=${name#filter.}
            filters="$filters ${name%.*}"
            ;;
        push.*) push_settings=yes ;;
        protocol.allow | ssh.variant) ssh_settings=yes ;;
        user.name) user_name=$value ;;
        user.email) user_email=$value ;;
        remote.host.url) url=$value ;;
        core.sshcommand) ssh_command=$value ;;
        esac
    done <<EOF
$(repo config --get-regexp "$settings")
EOF
}

# add_config FILE SECTION [SUBSECTION] -- NAME VALUE...: adds variables to a git configuration file.
# One git process for each would dominate the time of a start.
add_config() {
    file=$1 section=$2
    shift 2
    if [ "$1" != -- ]; then
        quote "$1"
        section="$section $quoted"
        shift
    fi
    shift
    # The file's last line may lack its end.
    printf '\n[%s]\n' "$section" >>"$file"
    while [ $# -ge 2 ]; do
        quote "$2"
        printf '\t%s = %s\n' "$1" "$quoted" >>"$file"
        shift 2
    done
}

# quote TEXT: quoted for git's configuration, in $quoted; newlines are removed.
quote() {
    quoted='' rest=$1
    while :; do
        plain=${rest%%[\\\""$newline"]*}
        rest=${rest#"$plain"}
        case $rest in
        '') break ;;
        "$newline"*) quoted=$quoted$plain ;;
        *) quoted=$quoted$plain\\${rest%"${rest#?}"} ;;
        esac
        rest=${rest#?}
    done
    quoted="\"$quoted$plain\""
}
newline='
'

set_identity() {
    file=${GIT_CONFIG_GLOBAL:-$HOME/.gitconfig}
    if [ -z "$user_name" ] && [ -n "${DKR_USER_NAME:-}" ]; then
        add_config "$file" user -- name "$DKR_USER_NAME"
    fi
    if [ -z "$user_email" ] && [ -n "${DKR_USER_EMAIL:-}" ]; then
        add_config "$file" user -- email "$DKR_USER_EMAIL"
    fi
}

set_url() {
    if [ -z "${DKR_HOST_URL:-}" ] || [ "$DKR_HOST_URL" = "$url" ]; then
        return
    fi
    repo config -- remote.host.url "$DKR_HOST_URL"
    # URL rewriting in the image may match this one, too: the longest match wins.
    [ -z "$rewrites" ] || add_config "$config" url "$DKR_HOST_URL" -- \
        insteadOf "$DKR_HOST_URL" pushInsteadOf "$DKR_HOST_URL"
    # Through a channel the host's branches are hidden from a push, which therefore negotiates; over SSH
    # it sees them.
    case $DKR_HOST_URL in
    ext::*)
        repo config protocol.ext.allow user
        repo config push.negotiate true
        ;;
    *)
        repo config --unset push.negotiate
        if [ -n "$ssh_settings" ]; then
            repo config protocol.ssh.allow always
            repo config ssh.variant ssh
        fi
        ;;
    esac
}

# pick INDEX WORD...: one of the words, in $picked.
pick() {
    shift $(($1 % ($# - 1) + 1))
    picked=$1
}

# Five random names, in $candidates.
propose_names() {
    adjectives=$(cat "$lib/adjectives") nouns=$(cat "$lib/nouns")
    candidates=
    for _ in 1 2 3 4 5; do
        read -r random </proc/sys/kernel/random/uuid
        # shellcheck disable=SC2086 # a word each
        pick $((0x${random%%-*})) $adjectives && adjective=$picked
        # shellcheck disable=SC2086
        pick $((0x${random##*-})) $nouns && candidates="$candidates $adjective-$picked"
    done
}

# Asks one git process for every object that the start depends on: the commits in $head, $baked,
# $tracked and $tip (empty if missing), and without a $branch the first free candidate.
read_objects() {
    wanted=${DKR_TIP:-}
    case $wanted in *[!0-9a-f]*) wanted= ;; esac
    names="HEAD
refs/dkr/baked
refs/remotes/host/${DKR_BRANCH:-}
${wanted:-HEAD}"
    for candidate in $candidates; do
        names="$names
refs/heads/$candidate
refs/remotes/host/$candidate"
    done
    {
        read_commit && head=$commit
        read_commit && baked=$commit
        read_commit && tracked=$commit
        read_commit && tip=${wanted:+$commit}
        for candidate in $candidates; do
            read_commit && here=$commit
            read_commit && there=$commit
            [ -n "$branch$here$there" ] || branch=$candidate
        done
    } <<EOF
$(printf '%s\n' "$names" | repo cat-file --batch-check='%(objectname) %(objecttype)')
EOF
}

read_commit() {
    commit=
    read -r object kind && [ "$kind" != commit ] || commit=$object
}

# Makes $branch at HEAD and switches to it: same commit, so index and files need not be read,
# however many there are.
make_branch() {
    read -r at <"$workspace/.git/HEAD"
    if [ "$at" != "ref: refs/heads/$branch" ]; then
        if ! repo update-ref "refs/heads/$branch" "$head" '' ||
            ! repo symbolic-ref HEAD "refs/heads/$branch"; then
            fail "cannot create branch \`$branch\`"
        fi
    fi
}

# Fetches the image's branch into $tip. In the background, because a shell that waits for a program in
# the foreground does not handle signals.
fetch_tip() {
    log=$workspace/.git/dkr-fetch.log
    seconds=${DKR_FETCH_TIMEOUT:-120}
    limit=
    ! command -v timeout >/dev/null || limit="timeout $((seconds))"
    (
        export GIT_TERMINAL_PROMPT=0 SSH_ASKPASS_REQUIRE=never GIT_SSH_VARIANT=ssh
        export GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-$ssh_command} -o BatchMode=yes -o ConnectTimeout=5"
        repo fetch --quiet --no-tags --no-recurse-submodules \
            host "+$DKR_REF:refs/remotes/host/$DKR_BRANCH" 2>"$log"
    ) &
    limit=
    wait "$!" 2>/dev/null
    status=$?
    if [ "$status" -eq 0 ]; then
        tip=$(repo rev-parse --verify --quiet "refs/remotes/host/$DKR_BRANCH")
        return
    fi
    reason="exit status $status"
    case $status in
    124 | 143) reason="no answer within $seconds s" ;; # GNU's and BusyBox's timeout
    esac
    read_reason <"$log"
    warn "cannot fetch \`$DKR_BRANCH\` from \`host\` ($reason): continuing from the baked commit"
    return 1
}

# The first error in git's output, in $reason, which is unchanged if there is none. File names that
# follow belong to it.
read_reason() {
    words='' separator='' line_start=$(printf '\r')
    while IFS= read -r text; do
        text=${text##*"$line_start"} # after progress output
        case $text in
        "$tab"*)
            [ -z "$separator" ] || words=$words$separator${text#"$tab"}
            separator=${separator:+, }
            ;;
        '' | [Ww]arning:* | hint:*) ;;
        *)
            [ -z "$words" ] || break
            words=$text
            case $text in *:) separator=' ' ;; esac
            ;;
        esac
    done
    [ -z "$words" ] || reason=$words
}
tab='	'

# git as someone, even if nobody is configured.
as_committer() {
    repo -c "user.name=${user_name:-${DKR_USER_NAME:-dkr}}" \
        -c "user.email=${user_email:-${DKR_USER_EMAIL:-dkr@localhost}}" "$@"
}

# Plain `git push` goes to a branch of the host's own name, `git pull` comes from the image's branch.
# Configured once: the file is this container's.
set_upstream() {
    read -r hostname </proc/sys/kernel/hostname
    # If the channel rejected one of them, it would reject the branch, too.
    [ -z "$push_settings" ] || add_config "$config" push -- \
        followTags false gpgSign false pushOption '' recurseSubmodules no
    [ -z "${DKR_BROKEN_REFS:-}" ] || add_config "$config" remote host -- \
        uploadpack 'env GIT_REF_PARANOIA=0 git-upload-pack' \
        receivepack 'env GIT_REF_PARANOIA=0 git-receive-pack'
    add_config "$config" remote host -- \
        push "refs/heads/$branch:refs/heads/$hostname/$branch"
    add_config "$config" branch "$branch" -- pushRemote host
    [ -z "$tracking" ] || add_config "$config" branch "$branch" -- remote host merge "$DKR_REF"
}

update_branch() {
    if [ -z "$tip" ]; then
        fetch_tip || return
    elif [ "$tip" != "$tracked" ]; then
        repo update-ref "refs/remotes/host/$DKR_BRANCH" "$tip"
    fi
    if [ "$tip" = "$baked" ] || [ "$tip" = "$head" ]; then
        return
    fi
    # shellcheck source=SCRIPTDIR/move.sh
    . "$lib/move.sh"
    ! move_to_tip || return
    what='cannot move to'
    [ -z "$conflict" ] || what='what [post_clone] left conflicts with'
    warn "$what \`host/$DKR_BRANCH\` ($reason): continuing from the baked commit"
    [ -z "$damaged" ] ||
        warn "cannot restore the work tree to the state in the image: see \`git status\` and \`git stash list\`"
}

# [post_clone] may have given the work tree to a user of the image. Files written by the start belong to that user, too.
keep_owner() {
    owner=$(stat -c %u:%g "$workspace/.git")
    if [ "$owner" != 0:0 ]; then
        find "$workspace/.git" -user 0 -exec chown -h "$owner" {} +
        find "$workspace" -path "$workspace/.git" -prune -o \
            -user 0 -newer "$started" -exec chown -h "$owner" {} +
    fi
}

prepare_workspace() {
    read_config
    set_url
    if [ -s "$started" ]; then
        read -r branch <"$started"
        say "Working copy unchanged, started on branch $branch"
        return
    fi
    set_identity
    branch=${DKR_WORK_BRANCH:-}
    candidates=
    [ -n "$branch" ] || propose_names
    read_objects
    until [ -n "$branch" ]; do # if all five are taken
        propose_names
        read_objects
    done
    [ -n "$head" ] || fail "\`$workspace\` contains no commit"
    : "${baked:=$head}"
    tracking=
    case ${DKR_REF:-} in
    refs/heads/?* | refs/remotes/?*) tracking=" (tracking host/$DKR_BRANCH)" ;;
    esac
    make_branch
    set_upstream
    printf '%s\n' "$branch" >"$started"
    [ -z "$tracking" ] || update_branch
    keep_owner
    read_start
    # Files older than this one are not the user's work: see work.sh.
    printf '%s\n' "$branch" "$start" >"$started"
    say "Working copy updated to $short on branch $branch$tracking"
}

# The commit that the work begins at, in $start, and $short as git abbreviates it.
read_start() {
    {
        read -r _ start
        read -r short
    } <<EOF
$(repo rev-list --max-count=1 --format=%h HEAD)
EOF
}

# --- the command, or tmux ------------------------------------------------------------------------

# Shells start background programs with SIGINT and SIGQUIT ignored; this undoes it, where it exists.
undo_ignore='env --default-signal=INT,QUIT'
$undo_ignore true 2>/dev/null || undo_ignore=

# run PROGRAM [ARGUMENT...]: as a child, its exit status in $status. It runs in the background,
# where the shell handles signals and passes them on; keys of a terminal still reach it, because it
# shares the shell's process group.
run() {
    if [ -z "$undo_ignore" ] && [ -t 3 ]; then
        # Ctrl-C matters more than signals from outside.
        "$@" <&3 3<&-
        status=$?
        return
    fi
    $undo_ignore "$@" <&3 3<&- &
    child=$!
    [ -z "$pending" ] || pass_on "$pending"
    wait_for_child
}

wait_for_child() {
    status=127
    while :; do
        passed='' before=$status
        wait "$child" 2>/dev/null # some shells print a message on a signal
        status=$?
        # A trap interrupts `wait`: then its status is that of the signal, not of the child.
        [ -n "$passed" ] || break
    done
    # Some shells forget a child that ended while a trap ran.
    [ "$status" -ne 127 ] || status=$before
}

# shellcheck disable=SC2317 # called by traps
pass_on() {
    passed=yes
    case $1 in TERM | INT | QUIT) told=yes ;; esac
    # A signal before the child exists is passed to it later.
    pending=$1
    [ -n "$child" ] || return
    pending=
    wait_until_heard
    kill "-$1" "$child" 2>/dev/null
}

# Until `env` has undone it, the child ignores SIGINT and SIGQUIT. One that ignores SIGINT by itself
# gets its signals a second later.
wait_until_heard() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        mask=
        while read -r name mask _ && [ "$name" != SigIgn: ]; do :; done <"/proc/$child/status"
        # The last digit holds signals 1 to 4.
        case $mask in *[2367abef]) sleep 0.1 || return ;; *) return ;; esac
    done
} 2>/dev/null

pass_signals_on() {
    child='' pending=
    for signal in HUP TERM USR1 USR2 PIPE; do
        # shellcheck disable=SC2064 # the name is wanted now
        trap "pass_on $signal" "$signal"
    done
    if [ -t 3 ]; then
        # From the keyboard, the child has them too. Without a parent shell, suspending would
        # last for ever.
        trap 'passed=yes' INT QUIT
        trap 'pass_on CONT' TSTP
    elif [ -n "$undo_ignore" ]; then
        trap 'pass_on INT' INT
        trap 'pass_on QUIT' QUIT
    else
        trap 'pass_on TERM' INT QUIT
    fi
}

start_tmux() {
    # shellcheck source=/dev/null
    . "$lib/term.sh"
    inner=screen
    ! known_term tmux-256color || inner=tmux-256color
    set -- set-option -g default-terminal "$inner" ';'
    for file in "$HOME/.tmux.conf" "${XDG_CONFIG_HOME:-$HOME/.config}/tmux/tmux.conf" \
        /etc/tmux.conf; do
        [ ! -e "$file" ] || set --
    done
    [ $# -eq 0 ] || set -- source-file "$lib/tmux.conf" ';' "$@"
    tmux -u start-server ';' "$@" new-session -d -s main || fail "cannot start tmux"
}

# Runs until the last session of the tmux server has ended.
serve_tmux() {
    start_tmux
    # Only a stop request may end the work in it, not a closed terminal or a key.
    trap 'told=yes; tmux kill-server' TERM
    trap 'passed=yes' HUP INT QUIT
    [ -z "${DKR_ATTACH:-}" ] || printf '\0' >&2
    if [ -z "${DKR_ATTACH:-}" ] && [ -t 3 ]; then
        while run "$lib/attach.sh"; [ "$status" -eq 10 ]; do
            say "Detached: press Enter to reattach, Ctrl-P Ctrl-Q to leave the container running"
            read -r _ <&3 || break
        done
    fi
    while tmux has-session 2>/dev/null; do
        # Nothing signals this channel: the client ends with the server.
        tmux wait-for dkr 2>/dev/null &
        child=$!
        wait_for_child
    done
}

# --- the end -------------------------------------------------------------------------------------

# Exits with status $1 after recording the work.
finish() {
    trap '' HUP INT TERM
    case ${DKR_KEEP:-never} in
    never) ;;
    *) "$lib/work.sh" report save >/dev/null 2>&1 ;;
    esac
    # After a stop request it may be resumed.
    [ -z "${DKR_KEEP:-}" ] || [ -n "$told" ] || { echo >"$ended"; } 2>/dev/null
    exit "$1"
}

# Waits while dkr inspects the container, and exits when dkr is done or gone: when only init and this
# shell are left.
rest() {
    idle=0
    while [ "$idle" -lt 10 ]; do
        sleep 1
        set -- /proc/[0-9]*
        idle=$((idle + 1))
        [ $# -le 2 ] || idle=0
    done
}

trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

command -v git >/dev/null || fail "\`git\` is not on PATH ($PATH)"
rm -f "$ended"
told=
purpose=
if [ -e "$next" ]; then
    read -r purpose <"$next"
    rm -f "$next"
fi
case $purpose in
rest)
    rest
    exit 0
    ;;
session)
    set --
    DKR_ATTACH=1
    ;;
esac
rm -f "$report"
trust_workspace
[ ! -e "$key" ] || use_anthropic_key
[ -z "${DKR_SSH_KEY:-}" ] || use_ssh_key
[ -z "${DKR_ORIGIN_KNOWN_HOSTS:-}" ] || know_origin
prepare_workspace

if [ $# -eq 0 ]; then
    serve_tmux
    finish 0
fi
# shellcheck source=/dev/null
. "$lib/term.sh"
pass_signals_on
run "$@"
finish "$status"
