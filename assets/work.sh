#!/bin/sh
# What work /workspace holds. Run by the entrypoint as it ends and by dkr whenever it is asked:
#
# work.sh report [tree] [save]   says it, a line each, as below
# work.sh take ID                as report tree, and makes a commit of the uncommitted state, in which
#                                ID names the container
# work.sh diff [OPTION]          the changes since the branch point, the uncommitted ones included
#
# `tree` adds the id that the uncommitted state would have as a tree; `save` also writes the report to
# .git/dkr-report, for when nothing runs any more.
#
# What was there when the container first started, as [post_clone] left it, is no work of its own.
#
#   dkr-work 1            the first line
#   branch NAME           the branch that HEAD is on; none: detached
#   head ID               the commit of HEAD
#   fork ID               where it leaves the image's branch
#   base ID, ahead N      where the work begins, and the commits since
#   operation NAME        a rebase, merge, ... is in progress
#   changed N, untracked N, nested N   files: changed ones, new ones, and other repositories
#   stash ID              an entry of the stash, the newest first
#   commits N, commit ID  commits that the host did not have when it was asked last; some of them
#   tip ID REF            a local branch, or a detached HEAD, that leads to some of those
#   runs COMMAND          what the session shows
#   tree ID, wip ID       the uncommitted state as a tree and as a commit
#   have ID               a commit at the edge of what the host had
set -u

workspace=/workspace
most=1000 # commits and entries of the stash that are named
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_LITERAL_PATHSPECS=1
cd "$workspace" || exit
lists=$(mktemp -d) || exit
trap 'rm -rf "$lists"' EXIT
trap 'exit 143' HUP INT TERM

repo() {
    git -c core.quotePath=true -c core.fsmonitor=false -c core.hooksPath=/dev/null \
        -c status.renames=false -c diff.renames=true "$@"
}

# The time and the commit of the container's first start.
since=0 start=
if [ -s .git/dkr-started ]; then
    since=$(stat -c %Y .git/dkr-started)
    start=$(sed -n 2p .git/dkr-started)
fi

# Writes to $lists/changes a line `XY PATH` of each change since then, as `git status` quotes it. A
# file is older if its inode was last touched before; one that is gone is as old as its folder.
list_changes() {
    repo status --porcelain --untracked-files=all >"$lists/status" || exit
    while IFS= read -r line; do
        path=${line#???}
        case $path in
        \"*\\*) path=.git/dkr-started ;;
        \"*) path=${path#?} path=${path%?} ;;
        esac
        while [ ! -e "$path" ] && [ ! -L "$path" ]; do
            case $path in
            */*) path=${path%/*} ;;
            *) path=. ;;
            esac
        done
        printf './%s\0' "$path"
    done <"$lists/status" >"$lists/probes"
    : >"$lists/changes"
    [ -s "$lists/status" ] || return 0
    xargs -0 stat -c %Z <"$lists/probes" >"$lists/times"
    while IFS= read -r line; do
        # Without a time, it has just gone.
        read -r time <&3 || time=$since
        [ "$time" -lt "$since" ] || printf '%s\n' "$line"
    done <"$lists/status" 3<"$lists/times" >"$lists/changes"
}

# The uncommitted state as a tree, in $tree, if there is any. A nested repository is left out.
make_tree() {
    tree=
    [ -s "$lists/changes" ] || return 0
    GIT_INDEX_FILE=$lists/index
    export GIT_INDEX_FILE
    repo read-tree HEAD &&
        cut -c4- "$lists/changes" | grep -v '/"\{0,1\}$' | repo update-index --add --remove --stdin &&
        tree=$(repo write-tree)
    status=$?
    unset GIT_INDEX_FILE
    return "$status"
}

# Objects made from here on go nowhere.
use_scratch_objects() {
    mkdir "$lists/objects"
    GIT_ALTERNATE_OBJECT_DIRECTORIES=$workspace/.git/objects
    GIT_OBJECT_DIRECTORY=$lists/objects
    export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY
}

make_commit() {
    wip=
    [ -n "$tree" ] || return 0
    name=$(git config user.name) && [ -n "$name" ] || name=dkr
    email=$(git config user.email) && [ -n "$email" ] || email=dkr@localhost
    wip=$(GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email \
        GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email \
        repo commit-tree "$tree" -p "$head" \
        -m "Uncommitted work of ${branch:-a detached HEAD}" -m "Container: $1")
}

read_head() {
    head=$(git rev-parse --verify --quiet HEAD) || exit
    branch=
    read -r ref <.git/HEAD
    case $ref in 'ref: refs/heads/'*) branch=${ref#ref: refs/heads/} ;; esac
}

# The commit where the branch leaves the image's branch, in $fork, and where the work begins, in
# $base: behind what [post_clone] committed.
read_base() {
    fork=
    upstream=refs/remotes/host/${DKR_BRANCH:-}
    [ -z "${DKR_BRANCH:-}" ] || fork=$(git merge-base HEAD "$upstream" 2>/dev/null)
    : "${fork:=$(git rev-parse --verify --quiet refs/dkr/baked)}"
    base=$fork
    if [ -n "$start" ] && [ -n "$base" ] && git merge-base --is-ancestor "$base" "$start" &&
        git merge-base --is-ancestor "$start" HEAD; then
        base=$start
    fi
}

operation() {
    if [ -e .git/rebase-apply/applying ]; then
        echo 'operation am'
    elif [ -d .git/rebase-merge ] || [ -d .git/rebase-apply ]; then
        echo 'operation rebase'
    elif [ -e .git/MERGE_HEAD ]; then
        echo 'operation merge'
    elif [ -e .git/CHERRY_PICK_HEAD ]; then
        echo 'operation cherry-pick'
    elif [ -e .git/REVERT_HEAD ]; then
        echo 'operation revert'
    elif [ -e .git/BISECT_LOG ]; then
        echo 'operation bisect'
    fi
}

# What was put aside since the start.
stashed() {
    [ -e .git/refs/stash ] || [ -e .git/logs/refs/stash ] || return
    git rev-list --walk-reflogs --max-count="$most" --format='%ct' refs/stash 2>/dev/null |
        while read -r word id && read -r time; do
            [ "$word" != commit ] || [ "$time" -lt "$since" ] || echo "stash $id"
        done
}

# The revisions that the host had: $1 says whether what [post_clone] committed counts as such.
known() {
    echo '--not'
    git rev-parse --verify --quiet refs/dkr/baked
    [ "$1" != start ] || [ -z "$start" ] || echo "$start"
    echo '--remotes=host'
}

report() {
    echo 'dkr-work 1'
    [ -z "$branch" ] || echo "branch $branch"
    echo "head $head"
    read_base
    [ -z "$base" ] || echo "fork $fork
base $base
ahead $(git rev-list --count "$base..HEAD")"
    operation
    echo "untracked $(grep -c '^??' "$lists/changes")"
    echo "changed $(grep -vc '^??' "$lists/changes")"
    echo "nested $(grep -c '^?? .*/"\{0,1\}$' "$lists/changes")"
    stashed
    # shellcheck disable=SC2046 # a revision each
    git rev-list HEAD --branches $(known start) >"$lists/commits"
    echo "commits $(wc -l <"$lists/commits")"
    head -n "$most" "$lists/commits" | sed 's/^/commit /'
    [ ! -s "$lists/commits" ] || {
        git for-each-ref --format='%(objectname) %(refname)' refs/heads
        [ -n "$branch" ] || echo "$head HEAD"
    } | while read -r id name; do
        ! grep -q "^$id" "$lists/commits" || echo "tip $id $name"
    done
    tmux list-panes -a -F 'runs #{pane_current_command}' 2>/dev/null | sort -u
}

# Where a pack for the host may begin.
edges() {
    # shellcheck disable=SC2046
    git rev-list --boundary HEAD --branches $(known baked) | sed -n 's/^-/have /p'
}

case ${1:-} in
report)
    read_head
    list_changes
    report >"$lists/report" || exit
    case " $* " in
    *' tree '*)
        use_scratch_objects
        make_tree || exit
        [ -z "$tree" ] || echo "tree $tree" >>"$lists/report"
        ;;
    esac
    case " $* " in
    *' save '*) cp "$lists/report" .git/dkr-report.new && mv .git/dkr-report.new .git/dkr-report ;;
    esac
    cat "$lists/report"
    ;;
take)
    read_head
    list_changes
    make_tree && make_commit "${2:-}" || exit
    report
    [ -z "$tree" ] || printf '%s\n' "tree $tree" "wip $wip"
    edges
    ;;
diff)
    shift
    read_head
    list_changes
    use_scratch_objects
    make_tree || exit
    read_base
    repo diff --no-ext-diff --no-textconv "$@" "${base:-HEAD}" "${tree:-HEAD}" --
    ;;
*)
    echo "work.sh: unknown command \`${1:-}\`" >&2
    exit 2
    ;;
esac
