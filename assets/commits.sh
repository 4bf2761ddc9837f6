# shellcheck shell=sh
# Sourced by work.sh: the commits on refs, in the stash, and in operations in progress.
# shellcheck disable=SC2030,SC2031,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"

# The git directories of all worktrees, the one here first. Each has a HEAD and operations of its own.
list_git_dirs() {
    echo .git
    for folder in .git/worktrees/*/; do
        [ ! -e "$folder/HEAD" ] || echo "${folder%/}"
    done
}

# operation FOLDER: the operation in progress in the worktree of that git directory.
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

# A line for each operation.
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

# A line `ID FILE` for each id in one of these files of a git directory.
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
        # Without a reflog there is only this one.
        git rev-list --walk-reflogs refs/stash 2>/dev/null
    } | uniq
}

# Stash entries since the start.
stashed() {
    noted rebase-merge/autostash rebase-apply/autostash MERGE_AUTOSTASH | sed 's/^\([^ ]*\).*/stash \1/'
    list_stash >"$lists/stash" || return
    without_recorded stash "$lists/stash" | sed 's/^/stash /'
}

# The commits that only an operation may name.
noted_commits() {
    noted rebase-merge/orig-head rebase-apply/orig-head MERGE_HEAD CHERRY_PICK_HEAD BISECT_START
}

# The refs that may hold work, as lines `ID REF`, those of other worktrees by git's names for them.
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

# The refs that were created or moved since the start.
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
# may name, and of each such ref that points to a commit.
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

# list_commits OPTION...: what these tips reach and the host did not have at the last fetch.
# Pushed commits are included, because the host may have lost them since. If the baked commit was
# rewritten, the host's other commits may have been, too.
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

# git-lfs files of those commits and of the stash are not git objects.
name_large_files() {
    [ -d .git/lfs/objects ] || return 0
    cp "$lists/stash" "$lists/others-too"
    list_commits ${start:+"^$start"} --objects --no-object-names >"$lists/objects" || return
    rm "$lists/others-too"
    # Only pointers are that small.
    git cat-file --batch-check='%(objectname) %(objecttype) %(objectsize)' <"$lists/objects" |
        sed -n 's/ blob [0-9]\{1,3\}$//p' | git cat-file --batch |
        sed -n 's/^oid sha256:\(\([0-9a-f]\{2\}\)\([0-9a-f]\{2\}\)[0-9a-f]\{60\}\)$/\2\/\3\/\1/p' | sort -u |
        while IFS= read -r file; do
            [ ! -e ".git/lfs/objects/$file" ] || not_saved "unsaved $workspace/.git/lfs/objects/$file"
        done
}

# The boundary of a pack for the host.
edges() {
    list_commits --boundary >"$lists/boundary" || return
    sed -n 's/^-/have /p' "$lists/boundary"
}

# The contents of indexes of worktrees whose folders are gone. The contents of a folder that is no
# longer a worktree are not known.
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
