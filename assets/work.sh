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
# What was there when the container first started, as [post_clone] left it, is no work of its own. Nor
# are names without commits of their own, and what other remotes hold.
#
#   dkr-work 1            the first line
#   branch NAME           the branch that HEAD is on; none: detached
#   head ID               the commit of HEAD
#   fork ID               where it leaves the image's branch
#   base ID, ahead N      where the work begins, and the commits since
#   operation NAME [ID]   a rebase, merge, ... is in progress; in another worktree: whose HEAD is ID
#   changed N, untracked N, nested N   files: changed ones, new ones, and how many of those are other
#                         repositories (submodules, too) with work; repositories in other worktrees come
#                         in lines of their own
#   stash ID              an entry of the stash, the newest first, or what an operation put aside
#   commits N, commit ID  commits that the host did not have when it was asked last; some of them
#   tip ID REF            a ref, a detached HEAD or a file of an operation that leads to some of those
#   staged N ID           N files of which the index holds what no file does, in any worktree, and the
#                         commit that the index would be
#   worktree N ID PATH    another worktree with N changed files, and the commit that they would be
#   runs COMMAND          what the session shows
#   tree ID, wip ID       the uncommitted state as a tree and as a commit
#   have ID               a commit at the edge of what the host had
# shellcheck disable=SC2030,SC2031 # what is in parentheses has variables of its own
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
started=$workspace/.git/dkr-started
since=0 start=
if [ -s "$started" ]; then
    since=$(stat -c %Y "$started")
    # A clock that was set back says nothing.
    [ "$(date +%s)" -ge "$since" ] || since=0
    start=$(sed -n 2p "$started")
fi
# For files that time in nanoseconds, where `stat` knows them: a container may start in the second in
# which its image was made.
moment=$since change=%Z
exact=$(stat -c %.9Y "$started" 2>/dev/null)
case $exact in
"$since".?????????) moment=$since${exact#*.} change=%.9Z ;;
esac

# is_new TIME: whether that is not before the start, as `stat -c "$change"` says it.
is_new() {
    case $1 in
    *.*) [ "${1%.*}${1#*.}" -ge "$moment" ] ;;
    *) [ "$1" -ge "$moment" ] ;;
    esac
}

# The folders of the other worktrees.
list_worktrees() {
    worktrees=$lists/worktrees
    : >"$worktrees"
    [ -d .git/worktrees ] || return 0
    git worktree list --porcelain >"$lists/all" || exit
    sed -n '2,$s/^worktree //p' "$lists/all" >"$worktrees"
}

# new_files PATH...: the files there that are not older than the start.
new_files() {
    find "$@" -type f -exec stat -c "$change %n" {} + 2>/dev/null |
        while read -r time path; do
            ! is_new "$time" || echo "$path"
        done
}

# The status of the worktree here, without other ones in it, which are looked at by themselves. So is
# what changed in submodules: here they count when they are at another commit.
read_status() {
    repo -c core.quotePath=false status --porcelain --untracked-files=all --ignore-submodules=dirty || return
    here=$(pwd -P)
    while IFS= read -r path; do
        echo "?? ${path#"$here"/}/"
    done <"$worktrees" >"$lists/inner"
} >"$lists/status"

# Writes to $lists/changes a line `XY PATH` of each change in the worktree here since the start, as
# `git status` quotes it, and to $lists/nested the folders of repositories in it with work. A file is
# older if its inode was last touched before; one that is gone is as old as its folder, and a submodule
# as its HEAD.
list_changes() {
    read_status || exit
    if [ -s "$lists/inner" ]; then
        grep -vxF -f "$lists/inner" "$lists/status" >"$lists/rest"
        mv "$lists/rest" "$lists/status"
    fi
    links=
    while IFS= read -r line; do
        path=./${line#???}
        case $path in
        ./\"*\\*) # new, lest it must be unquoted
            printf '%s\0' "$started"
            continue
            ;;
        ./\"*) path=${path#???} path=./${path%?} ;;
        esac
        case $line in
        '?? '*) ;;
        *) [ ! -e "$path/.git" ] || links=yes path=$(head_log "$path") ;;
        esac
        while [ ! -e "$path" ] && [ ! -L "$path" ]; do
            path=${path%/*}
        done
        printf '%s\0' "$path"
    done <"$lists/status" >"$lists/probes"
    list_dated
    list_nested | sort -u >"$lists/nested"
    grep -v '/"\{0,1\}$' "$lists/changes" >"$lists/files"
    mv "$lists/files" "$lists/changes"
}

# git_dir FOLDER: the git directory of the repository there.
git_dir() (
    cd "$1" && dir=$(git rev-parse --git-dir 2>/dev/null) && cd "$dir" && pwd
)

# head_log FOLDER: a file that is as old as the HEAD of the repository there.
head_log() {
    for file in "$(git_dir "$1")"/logs/HEAD "$(git_dir "$1")"/HEAD "$1"; do
        [ ! -e "$file" ] || break
    done
    printf '%s\n' "$file"
}

# The folders of repositories in the worktree here that have work of their own: new ones, submodules,
# and others that the image held; and git directories of submodules that are not checked out.
list_nested() {
    sed -n 's/^?? "\{0,1\}\(.*\)\/"\{0,1\}$/\1/p' "$lists/changes"
    {
        sed -n 's/^?? "\{0,1\}\(.*\)\/"\{0,1\}$/\1/p' "$lists/status"
        ! may_have_submodules || repo -c core.quotePath=false ls-files --stage |
            sed -n 's/^160000 [^	]*	//p'
    } | while IFS= read -r path; do
        [ ! -e "$path/.git" ] || ! has_work "$path" </dev/null || printf '%s\n' "$path"
    done
    [ "$(pwd -P)" = "$workspace" ] || return 0
    find .git/modules .git/worktrees/*/modules -name objects -prune -o -name HEAD -type f -print 2>/dev/null |
        while IFS= read -r file; do
            dir=${file%/HEAD}
            [ -d "$dir/objects" ] || continue
            folder=$(git config --file "$dir/config" core.worktree)
            [ -e "$dir/$folder/.git" ] || ! has_commits "$dir" </dev/null || printf '%s\n' "$dir"
        done
}

# Whether the index is worth a search for submodules.
may_have_submodules() {
    [ -n "$links" ] || [ -z "$baked" ] || [ -e .gitmodules ] ||
        repo diff-tree -r "$baked" "$head" | grep -q '^:[0-7]* 160000 '
}

# has_work FOLDER: whether the repository there has changes or commits since the start that are nowhere
# else. Where its commit is the one that the image's branch has there, somebody else has it, too.
has_work() (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    theirs=$(git rev-parse --verify --quiet "${start:-$baked}:$1")
    cd "$1" || exit
    dir=$(git_dir .) || dir=.git
    ! has_commits "$dir" "$theirs" || exit 0
    baked='' start='' lists=$lists/nested-lists
    mkdir -p "$lists" && worktrees=$lists/worktrees && : >"$worktrees" || exit
    list_changes
    [ -s "$lists/changes" ] || [ -s "$lists/nested" ]
)

# has_commits FOLDER [ID]: whether the repository of that git directory has commits since the start that
# it has not fetched and that ID does not lead to.
has_commits() (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    export GIT_DIR="$1" GIT_WORK_TREE=.
    [ -n "$(new_files "$1/HEAD" "$1/packed-refs" "$1/refs" "$1/logs" "$1/reftable")" ] || exit 1
    {
        git rev-parse --verify --quiet HEAD
        git rev-parse --verify --quiet refs/stash
        [ -z "${2:-}" ] || echo "^$2"
        sed -n 's/^\([0-9a-f]\{40\}\).*/^\1/p' "$1/FETCH_HEAD" 2>/dev/null
    } >"$lists/ends"
    # When that fails, it may have some.
    found=$(git rev-list --ignore-missing --max-count=1 --branches --stdin --not --remotes \
        <"$lists/ends" 2>/dev/null) || exit 0
    [ -n "$found" ]
)

# Writes the lines of $lists/status whose probes are new to $lists/changes.
list_dated() {
    : >"$lists/changes"
    [ -s "$lists/status" ] || return 0
    # When one has just gone, all count as new.
    xargs -0 stat -c "$change" <"$lists/probes" >"$lists/times" 2>/dev/null || : >"$lists/times"
    while IFS= read -r line; do
        read -r time <&3 || time=$moment
        ! is_new "$time" || printf '%s\n' "$line"
    done <"$lists/status" 3<"$lists/times" >"$lists/changes"
}

# The uncommitted state as a tree, in $tree, if there is any.
make_tree() {
    tree=
    [ -s "$lists/changes" ] || return 0
    GIT_INDEX_FILE=$lists/index
    export GIT_INDEX_FILE
    repo read-tree "$head" &&
        cut -c4- "$lists/changes" | repo update-index --add --remove --stdin &&
        tree=$(repo write-tree)
    status=$?
    unset GIT_INDEX_FILE
    return "$status"
}

# report_staged FOLDER: what is in the index of the worktree there, and in no file. The commit is the
# same whenever it is made.
report_staged() (
    files=$(grep -c '^[MTADRC][MTD] ' "$lists/changes") || exit 0
    cp "$(git_dir .)/index" "$lists/staged" || exit
    # Not while there are conflicts.
    tree=$(GIT_INDEX_FILE=$lists/staged repo write-tree 2>/dev/null) || exit 0
    when=$(git show -s --no-show-signature --format=%cI "$head")
    export GIT_AUTHOR_DATE="$when" GIT_COMMITTER_DATE="$when"
    make_commit "Index: $1" || exit
    echo "staged $files $wip"
)

# Objects made from here on go nowhere.
use_scratch_objects() {
    mkdir -p "$lists/objects"
    GIT_ALTERNATE_OBJECT_DIRECTORIES=$workspace/.git/objects
    GIT_OBJECT_DIRECTORY=$lists/objects
    export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY
}

# make_commit TEXT: that tree as a commit, in $wip.
make_commit() {
    wip=
    [ -n "$tree" ] || return 0
    name=$(git config user.name) && [ -n "$name" ] || name=dkr
    email=$(git config user.email) && [ -n "$email" ] || email=dkr@localhost
    wip=$(GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email \
        GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email \
        repo commit-tree "$tree" -p "$head" \
        -m "Uncommitted work of ${branch:-a detached HEAD}" -m "$1")
}

baked=$(git rev-parse --verify --quiet refs/dkr/baked 2>/dev/null)

# A branch without a commit stands where the work began.
read_head() {
    head=$(git rev-parse --verify --quiet HEAD 2>/dev/null) || {
        git rev-parse --git-dir >/dev/null || exit # says why
        head=${start:-$baked}
    }
    if [ -z "$head" ]; then
        echo 'HEAD leads to no commit' >&2
        exit 1
    fi
    branch=$(git symbolic-ref --quiet HEAD)
    branch=${branch#refs/heads/}
}

# The commit where the branch leaves the image's branch, in $fork, and where the work begins, in
# $base: behind what [post_clone] committed.
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

# The git directories of all worktrees, the one here first. Each has a HEAD and operations of its own.
list_git_dirs() {
    echo .git
    for folder in .git/worktrees/*/; do
        [ ! -e "$folder/HEAD" ] || echo "${folder%/}"
    done
}

# operation FOLDER: what is in progress in the worktree of that git directory.
operation() {
    if [ -e "$1/rebase-apply/applying" ]; then
        echo am
    elif [ -d "$1/rebase-merge" ] || [ -d "$1/rebase-apply" ]; then
        echo rebase
    elif [ -e "$1/MERGE_HEAD" ]; then
        echo merge
    elif [ -e "$1/CHERRY_PICK_HEAD" ]; then
        echo cherry-pick
    elif [ -e "$1/REVERT_HEAD" ]; then
        echo revert
    elif [ -e "$1/BISECT_LOG" ]; then
        echo bisect
    fi
}

operations() {
    while IFS= read -r folder; do
        name=$(operation "$folder")
        case $name,$folder in
        ,*) ;;
        *,.git) echo "operation $name" ;;
        *) echo "operation $name $(git --git-dir="$folder" rev-parse --verify --quiet HEAD)" ;;
        esac
    done <"$lists/dirs"
}

# A line `ID FILE` for each id that a file among these of a git directory holds.
noted() {
    while IFS= read -r folder; do
        for file in "$@"; do
            [ -f "$folder/$file" ] || continue
            grep -x '[0-9a-f]\{40\}' "$folder/$file" | while read -r id; do
                echo "$id $folder/$file"
            done
        done
    done <"$lists/dirs" | sed 's| \.git/| |'
}

# What was put aside since the start.
stashed() {
    noted rebase-merge/autostash rebase-apply/autostash MERGE_AUTOSTASH | sed 's/^\([^ ]*\).*/stash \1/'
    [ -e .git/refs/stash ] || [ -e .git/logs/refs/stash ] || return
    git rev-list --walk-reflogs --max-count="$most" --format='%ct' refs/stash 2>/dev/null |
        while read -r word id && read -r time; do
            [ "$word" != commit ] || [ "$time" -lt "$since" ] || echo "stash $id"
        done
}

# The refs that were made or moved since the start. Until something packs refs, those are files.
new_refs() {
    if [ -e .git/reftable ] ||
        { [ -e .git/packed-refs ] && is_new "$(stat -c "$change" .git/packed-refs)"; }; then
        git for-each-ref --format='%(refname)'
    else
        new_files .git/refs .git/worktrees/*/refs | sed 's|^\.git/||'
    fi | grep -v -e '^refs/remotes/' -e '^refs/dkr/' -e '^refs/stash$'
    [ -z "$branch" ] || echo "refs/heads/$branch"
}

# A line `ID REF` of each HEAD that is detached, of each commit that only an operation in progress
# may name, and of each such ref that leads to a commit.
tips() {
    [ -n "$branch" ] || echo "$head HEAD"
    sed 1d "$lists/dirs" | while IFS= read -r folder; do
        git --git-dir="$folder" symbolic-ref --quiet HEAD >"$lists/head" ||
            echo "$(git --git-dir="$folder" rev-parse HEAD) ${folder#.git/}/HEAD"
    done
    new_refs | sort -u | sed 's/.*/& &/' >"$lists/refs"
    noted rebase-merge/orig-head rebase-apply/orig-head MERGE_HEAD CHERRY_PICK_HEAD BISECT_START >>"$lists/refs"
    sed 's/ .*/^{commit}/' "$lists/refs" |
        git cat-file --batch-check='%(objectname)' >"$lists/ids" || exit
    while read -r id missing && read -r _ name <&3; do
        [ -n "$missing" ] || echo "$id $name"
    done <"$lists/ids" 3<"$lists/refs"
}

# list_commits OPTION...: what these tips lead to and the host did not have when it was asked last.
# What was pushed counts, too, as it may be gone there by now.
list_commits() {
    own=host/$(cat /proc/sys/kernel/hostname)
    {
        echo "$head"
        cut -d' ' -f1 "$lists/tips"
    } | git rev-list --stdin "$@" --not --exclude="$own/*" --exclude="refs/remotes/$own/*" \
        --remotes=host
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
    operations
    nested=$(($(wc -l <"$lists/nested")))
    echo "untracked $(($(grep -c '^??' "$lists/changes") + nested))"
    echo "changed $(grep -vc '^??' "$lists/changes")"
    echo "nested $nested"
    stashed
    tips >"$lists/tips" || exit
    # What [post_clone] committed is no work.
    list_commits ${baked:+"^$baked"} ${start:+"^$start"} >"$lists/commits" || exit
    echo "commits $(wc -l <"$lists/commits")"
    head -n "$most" "$lists/commits" | sed 's/^/commit /'
    [ ! -s "$lists/commits" ] || grep -F -f "$lists/commits" "$lists/tips" | sed 's/^/tip /'
    report_staged "$workspace" || exit
    report_worktrees || exit
    tmux list-panes -a -F 'runs #{pane_current_command}' 2>/dev/null | sort -u
}

# The other worktrees with changes; called last, as it takes what is known of this one away. The commit
# of one is the same whenever it is made.
report_worktrees() {
    while IFS= read -r folder; do
        [ -d "$folder" ] || continue
        (
            cd "$folder" || exit
            read_head
            list_changes
            make_tree || exit
            nested=$(($(wc -l <"$lists/nested")))
            [ "$nested" -eq 0 ] || echo "untracked $nested
nested $nested"
            files=$(($(wc -l <"$lists/changes")))
            [ "$files" -gt 0 ] || exit 0
            report_staged "$folder" || exit
            when=$(git show -s --no-show-signature --format=%cI "$head")
            export GIT_AUTHOR_DATE="$when" GIT_COMMITTER_DATE="$when"
            make_commit "Worktree: $folder" || exit
            echo "worktree $files $wip $folder"
        ) || return
    done <"$worktrees"
}

# Where a pack for the host may begin.
edges() {
    list_commits --boundary ${baked:+"^$baked"} | sed -n 's/^-/have /p'
}

list_worktrees
read_head
list_changes
case ${1:-} in
report)
    use_scratch_objects
    tree=
    case " $* " in
    *' tree '*) make_tree || exit ;;
    esac
    report >"$lists/report" || exit
    [ -z "$tree" ] || echo "tree $tree" >>"$lists/report"
    case " $* " in
    *' save '*) cp "$lists/report" .git/dkr-report.new && mv .git/dkr-report.new .git/dkr-report ;;
    esac
    cat "$lists/report"
    ;;
take)
    make_tree && make_commit "Container: ${2:-}" || exit
    [ -z "$tree" ] || uncommitted="tree $tree
wip $wip
"
    report
    printf %s "${uncommitted:-}"
    edges
    ;;
diff)
    shift
    use_scratch_objects
    make_tree || exit
    read_base
    repo diff --no-ext-diff --no-textconv "$@" "${base:-$head}" "${tree:-$head}" --
    ;;
*)
    echo "work.sh: unknown command \`${1:-}\`" >&2
    exit 2
    ;;
esac
