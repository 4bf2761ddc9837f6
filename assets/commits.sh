# shellcheck shell=sh
# Sourced by work.sh: the commits that are no state of files: on refs, in the stash, and in operations that
# are in progress.
# shellcheck disable=SC2030,SC2031,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"

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

# A line of each operation.
list_operations() {
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

# The stash, the newest entry first.
list_stash() {
    [ -n "$(git rev-parse --verify --quiet refs/stash)" ] || return 0
    {
        git rev-parse --verify refs/stash
        # Without a log there is only that one.
        git rev-list --walk-reflogs refs/stash 2>/dev/null
    } | uniq
}

# What was put aside since the start.
stashed() {
    noted rebase-merge/autostash rebase-apply/autostash MERGE_AUTOSTASH | sed 's/^\([^ ]*\).*/stash \1/'
    list_stash >"$lists/stash" || return
    without_recorded stash "$lists/stash" | sed 's/^/stash /'
}

# The commits that only an operation may name.
noted_commits() {
    noted rebase-merge/orig-head rebase-apply/orig-head MERGE_HEAD CHERRY_PICK_HEAD BISECT_START
}

# The refs that work may be on, as lines `ID REF`, those of other worktrees by the names that git has for
# them.
list_refs() {
    {
        git for-each-ref --format='%(objectname) %(refname)' || fail "git cannot list the refs of $workspace"
        for folder in .git/worktrees/*/; do
            [ -e "$folder/HEAD" ] || continue
            name=${folder#.git/}
            git --git-dir="$folder" symbolic-ref --quiet HEAD >/dev/null ||
                echo "$(git --git-dir="$folder" rev-parse HEAD) ${name}HEAD"
            git --git-dir="$folder" for-each-ref --format="%(objectname) $name%(refname)" \
                refs/bisect refs/worktree refs/rewritten 2>/dev/null
        done
    } >"$scratch/all-refs"
    grep -v -e ' refs/remotes/' -e ' refs/dkr/' -e ' refs/stash$' "$scratch/all-refs" | sort
}

# The refs that were made or moved since the start.
new_refs() {
    list_refs >"$lists/all-refs" || return
    if [ -s "$baseline/refs" ]; then
        comm -23 "$lists/all-refs" "$baseline/refs"
    else
        cat "$lists/all-refs"
    fi | sed 's/^[^ ]* //'
    [ -z "$branch" ] || echo "refs/heads/$branch"
}

# A line `ID REF` of each HEAD that is detached, of each commit that only an operation in progress
# may name, and of each such ref that leads to a commit.
tips() {
    [ -n "$branch" ] || echo "$head HEAD"
    new_refs >"$lists/new-refs" || return
    sort -u "$lists/new-refs" | sed 's/.*/& &/' >"$lists/refs"
    noted_commits >"$lists/noted"
    without_recorded noted "$lists/noted" >>"$lists/refs"
    sed 's/ .*/^{commit}/' "$lists/refs" |
        git cat-file --batch-check='%(objectname)' >"$lists/ids" || exit
    while read -r id missing && read -r _ name <&3; do
        [ -n "$missing" ] || echo "$id $name"
    done <"$lists/ids" 3<"$lists/refs"
}

# list_commits OPTION...: what these tips lead to and the host did not have when it was asked last.
# What was pushed counts, too, as it may be gone there by now. Where the commit that was baked was rewritten,
# so may be what the host had.
list_commits() {
    {
        echo "$head"
        cut -d' ' -f1 "$lists/tips"
        [ ! -s "$baseline/host" ] || sed 's/^/^/' "$baseline/host"
        [ ! -s "$lists/others-too" ] || cat "$lists/others-too"
    } >"$lists/revisions"
    own=host/$(cat /proc/sys/kernel/hostname)
    read -r recorded 2>/dev/null <"$baseline/host" || recorded=$baked
    if [ "$recorded" = "$baked" ]; then
        set -- "$@" ${baked:+"^$baked"} --not --exclude="$own/*" --exclude="refs/remotes/$own/*" --remotes=host
    fi
    git rev-list --ignore-missing --stdin "$@" <"$lists/revisions"
}

# What git-lfs keeps for those commits, and for the stash, is in no object of theirs.
name_large_files() {
    [ -d .git/lfs/objects ] || return 0
    cp "$lists/stash" "$lists/others-too"
    list_commits ${start:+"^$start"} --objects --no-object-names >"$lists/objects" || return
    rm "$lists/others-too"
    # Nothing else is as small as a pointer.
    git cat-file --batch-check='%(objectname) %(objecttype) %(objectsize)' <"$lists/objects" |
        sed -n 's/ blob [0-9]\{1,3\}$//p' | git cat-file --batch |
        sed -n 's/^oid sha256:\(\([0-9a-f]\{2\}\)\([0-9a-f]\{2\}\)[0-9a-f]\{60\}\)$/\2\/\3\/\1/p' | sort -u |
        while IFS= read -r file; do
            [ ! -e ".git/lfs/objects/$file" ] || not_saved "unsaved $workspace/.git/lfs/objects/$file"
        done
}

# Where a pack for the host may begin.
edges() {
    list_commits --boundary >"$lists/boundary" || return
    sed -n 's/^-/have /p' "$lists/boundary"
}

# What the indexes of worktrees hold whose folders are gone. What is in a folder that is no worktree any more,
# nobody can tell.
report_lost_worktrees() {
    while IFS= read -r dir; do
        read_folder "$dir"
        [ ! -d "$folder" ] || [ -e "$folder/.git" ] || not_saved "unsaved $folder"
        [ -s "$dir/index" ] || continue
        if report_lost_worktree "$workspace/$dir" "$folder" </dev/null >"$scratch/part" 2>/dev/null; then
            cat "$scratch/part"
        else
            not_saved "unsaved $workspace/$dir/index"
        fi
    done <"$scratch/lost-worktrees"
}

report_lost_worktree() (
    lists=$scratch/worktree
    rm -rf "$lists" && mkdir "$lists" || exit
    head=$(git --git-dir="$1" rev-parse --verify --quiet HEAD) || exit
    branch=
    : >"$lists/stages"
    git --git-dir="$1" diff-index --cached --raw --no-abbrev --no-renames --diff-filter=MTA "$head" -- \
        >"$lists/indexed" || exit
    list_entries
    cp "$lists/entries" "$lists/staged"
    report_staged "$2"
)
