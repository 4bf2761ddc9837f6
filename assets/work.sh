#!/bin/sh
# Reports the work in /workspace. Run by the entrypoint as it ends, and by dkr:
#
# work.sh report [tree] [save]   prints the report, one item per line, as below
# work.sh take ID                like report tree, and also commits the uncommitted state, with ID as the
#                                name of the container
# work.sh diff [OPTION]          prints the changes since the branch point, including uncommitted ones; the
#                                lines raw and unsaved go to stderr
# work.sh record                 records the present state, which then does not count as work
#
# `tree` adds the id that the uncommitted state would have as a tree; `save` also writes the report to
# .git/dkr-report, for when the container has stopped. There it has the tree once something was taken, so that
# dkr can check whether that was everything.
#
# What was there when the container first started, as [post_clone] left it, does not count as work: it
# is recorded in the image, in .git/dkr-baseline. Neither do names without commits of their own, nor what
# other remotes have. If something cannot be read, the report fails: then dkr keeps the container.
#
#   dkr-work 1            the first line
#   branch NAME           the branch that HEAD is on; none: detached
#   head ID               the commit of HEAD
#   fork ID               where it leaves the image's branch
#   base ID, ahead N      where the work begins, and the number of commits since
#   operation NAME [ID]   a rebase, merge, ... is in progress; in another worktree: whose HEAD is ID
#   changed N, untracked N, nested N   files: changed ones, new ones, and how many of those are other
#                         repositories (submodules, too) with work; repositories in other worktrees come
#                         in lines of their own
#   repository PATH       such a repository
#   stash ID              an entry of the stash, the newest first, or what an operation stashed
#   commits N, commit ID  commits that the host did not have at the last fetch; some of them
#   tip ID REF            a ref, a detached HEAD or a file of an operation that reaches some of those
#   staged N ID           N files whose index content is in no file, in any worktree, and the index
#                         as a commit
#   worktree N ID PATH    another worktree with N changed files, and these as a commit
#   raw PATH              a file that is in the tree unconverted, because its filter fails or stores content elsewhere
#   unsaved PATH          a file that cannot be saved: it is neither in the tree nor in the commit of the index
#   runs COMMAND          a command that runs in the session
#   tree ID, wip ID       the uncommitted state as a tree and as a commit
#   have ID               a commit at the edge of what the host had
# shellcheck disable=SC2030,SC2031 # what is in parentheses has variables of its own
set -u

workspace=/workspace
lib=/usr/local/lib/dkr
most=1000 # commits and entries of the stash that are named
# Variables that would redirect git, override the settings for the workspace, or make it verbose.
unset GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM GIT_TRACE GIT_TRACE2 GIT_TRACE_SETUP GIT_TRACE_PERFORMANCE \
    GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS GIT_EXTERNAL_DIFF GIT_DIFF_OPTS GIT_ATTR_SOURCE \
    GIT_AUTHOR_DATE GIT_COMMITTER_DATE GIT_DEFAULT_HASH GIT_DEFAULT_REF_FORMAT CDPATH
# shellcheck disable=SC2046 # a name each
unset $(git rev-parse --local-env-vars)
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_LITERAL_PATHSPECS=1 GIT_REF_PARANOIA=0 GIT_NO_LAZY_FETCH=1 \
    GIT_NO_REPLACE_OBJECTS=1 GIT_GRAFT_FILE=/dev/null/none
cd "$workspace" || exit
scratch=$(mktemp -d 2>/dev/null || TMPDIR=/tmp mktemp -d) || exit
lists=$scratch/here alive='' limit=''
trap 'rm -rf "$scratch"; [ -z "$alive" ] || kill "$alive" 2>/dev/null' EXIT
trap 'exit 143' HUP INT TERM
mkdir "$lists" || exit

fail() {
    echo "$*" >&2
    exit 1
}

# git, regardless of configuration.
git() {
    ${limit:-command} git -c include.path="$lib/gitconfig" -c include.path="$lib/workconfig" "$@"
}

# with_index FILE COMMAND...: runs it with that index.
with_index() (
    GIT_INDEX_FILE=$1
    export GIT_INDEX_FILE
    shift
    "$@"
)

# same FILE FILE: whether both have the same content.
same() {
    sum=$(cksum <"$1") && [ "$sum" = "$(cksum <"$2")" ]
}

# prefix TEXT: puts that before each line.
prefix() {
    while IFS= read -r line; do
        printf '%s%s\n' "$1" "$line"
    done
}

# lines FILE: how many it has.
lines() {
    echo $(($(wc -l <"$1")))
}

# git_dir FOLDER: the git directory of the repository there, whoever owns it.
git_dir() (
    unset GIT_WORK_TREE
    cd "$1" && GIT_DIR=$(pwd -P)/.git && export GIT_DIR && dir=$(git rev-parse --git-dir 2>/dev/null) &&
        cd "$dir" && pwd -P
)

# use_worktree: makes git use the worktree here, regardless of its configuration.
use_worktree() {
    GIT_WORK_TREE=$(pwd -P)
    GIT_DIR=$GIT_WORK_TREE/.git
    export GIT_DIR GIT_WORK_TREE
}

# The time and the commit of the container's first start.
started=$workspace/.git/dkr-started
start=
[ ! -s "$started" ] || start=$(sed -n 2p "$started")
use_worktree
baked=$(git rev-parse --verify --quiet refs/dkr/baked 2>/dev/null)

# shellcheck source=SCRIPTDIR/changes.sh
. "$lib/changes.sh" || exit
# shellcheck source=SCRIPTDIR/nested.sh
. "$lib/nested.sh" || exit
# shellcheck source=SCRIPTDIR/save.sh
. "$lib/save.sh" || exit
# shellcheck source=SCRIPTDIR/commits.sh
. "$lib/commits.sh" || exit

# A branch without a commit counts as being where the work began.
read_head() {
    head=$(git rev-parse --verify --quiet HEAD 2>/dev/null) || {
        git rev-parse --git-dir >/dev/null || exit # says why
        head=${start:-$baked}
    }
    [ -n "$head" ] || fail 'HEAD does not point to a commit'
    branch=$(git symbolic-ref --quiet HEAD)
    branch=${branch#refs/heads/}
}

# The commit where the branch leaves the image's branch, in $fork, and where the work begins, in
# $base: after the commits of [post_clone].
read_base() {
    fork=
    upstream=refs/remotes/host/${DKR_BRANCH:-}
    [ -z "${DKR_BRANCH:-}" ] || fork=$(git merge-base "$head" "$upstream" 2>/dev/null)
    : "${fork:=$baked}"
    base=$fork
    if [ -n "$start" ] && [ -n "$base" ] && git merge-base --is-ancestor "$base" "$start" &&
        git merge-base --is-ancestor "$start" "$head"; then
        base=$start
    fi
}

report() {
    echo 'dkr-work 1'
    [ -z "$branch" ] || echo "branch $branch"
    echo "head $head"
    read_base
    [ -z "$base" ] || echo "fork $fork
base $base
ahead $(git rev-list --count "$base..$head")"
    list_git_dirs >"$lists/dirs"
    list_operations >"$lists/operations"
    without_recorded operations "$lists/operations"
    report_files "$workspace"
    stashed || exit
    tips >"$lists/tips" || exit
    # Commits of [post_clone] are not work.
    list_commits ${start:+"^$start"} >"$lists/commits" || exit
    echo "commits $(lines "$lists/commits")"
    head -n "$most" "$lists/commits" | sed 's/^/commit /'
    name_large_files || exit
    [ ! -s "$lists/commits" ] || grep -F -f "$lists/commits" "$lists/tips" | sed 's/^/tip /'
    report_staged "$workspace" || exit
    report_lost_worktrees || exit
    report_worktrees || exit
    tmux list-panes -a -F 'runs #{pane_current_command}' 2>/dev/null | sort -u
    [ ! -e "$scratch/not-saved" ] || cat "$scratch/not-saved"
}

# The counts of the worktree's lists in $lists.
report_files() {
    nested=$(lines "$lists/nested")
    echo "untracked $(($(lines "$lists/new") + nested))"
    echo "changed $(count_changed)"
    report_nested "$1"
}

report_nested() {
    echo "nested $nested"
    prefix "repository $1/" <"$lists/nested"
}

count_changed() {
    echo $(($(lines "$lists/changed") + $(lines "$lists/gone")))
}

# in_worktree FOLDER COMMAND...: runs it there, with $head, $branch and $lists of its own.
in_worktree() (
    cd "$1" || exit
    use_worktree
    lists=$scratch/worktree
    rm -rf "$lists" && mkdir "$lists" || exit
    read_head
    shift
    "$@"
)

# The other worktrees with changes. The commit for a state is always the same.
report_worktrees() {
    while IFS= read -r folder; do
        if in_worktree "$folder" report_worktree "$folder" </dev/null >"$scratch/part"; then
            cat "$scratch/part"
        else
            not_saved "unsaved $folder"
        fi
    done <"$scratch/worktrees"
}

# not_saved LINE: adds that line to the end of the report.
not_saved() {
    printf '%s\n' "$1" >>"$scratch/not-saved"
}

report_worktree() {
    list_changes "$1"
    list_nested || exit
    nested=$(lines "$lists/nested")
    [ "$nested" -eq 0 ] || {
        echo "untracked $nested"
        report_nested "$1"
    }
    files=$(($(lines "$lists/new") + $(count_changed)))
    make_tree "$1/" || exit
    report_staged "$1" || exit
    [ "$files" -gt 0 ] || exit 0
    date_as_head
    make_commit "Worktree: $1" || exit
    printf 'worktree %s\n' "$files $wip $1"
}

save_report() {
    cp "$scratch/report" .git/dkr-report.new && mv .git/dkr-report.new .git/dkr-report
}

# A full disk may have truncated a list.
check_disk() {
    head -c 65536 /dev/zero >"$scratch/room"
    [ "$(wc -c <"$scratch/room")" -eq 65536 ] || fail "no space left for temporary files in $scratch"
    rm "$scratch/room"
}

list_worktrees
read_head
if [ "${1:-}" = record ]; then
    record
    exit 0
fi
list_changes "$workspace"
list_nested || exit
case ${1:-} in
report)
    use_scratch_objects names
    tree=
    case " $* " in
    *' save '*) [ ! -e .git/dkr-taken ] || set -- "$@" tree ;;
    esac
    case " $* " in
    *' tree '*) make_tree "$workspace/" || exit ;;
    esac
    report >"$scratch/report" || exit
    [ -z "$tree" ] || echo "tree $tree" >>"$scratch/report"
    check_disk
    case " $* " in
    *' save '*) save_report ;;
    esac
    cat "$scratch/report"
    ;;
take)
    # Taking may be slow; keep sending bytes.
    while sleep 5 >/dev/null 2>&1; do echo >&2; done >/dev/null &
    alive=$!
    make_tree "$workspace/" && make_commit "Container: ${2:-}" || exit
    report >"$scratch/report" || exit
    [ -z "$tree" ] || echo "tree $tree" >>"$scratch/report"
    edges >"$scratch/edges" || exit
    check_disk
    : >.git/dkr-taken
    # The report file exists only if the container has stopped.
    [ ! -e .git/dkr-report ] || save_report
    cat "$scratch/report"
    [ -z "$wip" ] || echo "wip $wip"
    cat "$scratch/edges"
    ;;
diff)
    shift
    use_scratch_objects
    make_tree "$workspace/" || exit
    read_base
    check_disk
    [ ! -e "$scratch/not-saved" ] || cat "$scratch/not-saved" >&2
    git diff --no-ext-diff --no-textconv "$@" "${base:-$head}" "${tree:-$head}" --
    ;;
*)
    echo "work.sh: unknown command \`${1:-}\`" >&2
    exit 2
    ;;
esac
