# shellcheck shell=sh
# Sourced by work.sh: other repositories in a worktree that have work of their own: new ones, submodules,
# and others that the image held; ignored ones, too. Their contents are not taken, only their paths listed.
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"

# Writes their folders to $lists/repositories.
list_repositories() {
    find . -name .git -prune -print >"$lists/found" 2>/dev/null
    [ $? -le 1 ] || fail "cannot search for repositories in $(pwd)"
    here=$(pwd -P)
    sed -n 's|^\./\(.*\)/\.git$|\1|p' "$lists/found" | while IFS= read -r path; do
        # An empty folder is not a repository, and a broken one may have been one.
        [ ! -f "$path/.git" ] && [ ! -e "$path/.git/objects" ] || is_worktree "$here/$path" </dev/null ||
            printf '%s\n' "$path"
    done >"$lists/repositories"
    # The rest of a name that contains a newline.
    grep -v '^\./' "$lists/found" >>"$lists/repositories"
    return 0
}

# is_worktree FOLDER: whether it is another worktree of this repository, or in one.
is_worktree() {
    while IFS= read -r worktree; do
        case $worktree/,$1/ in
        "$here/,"*) ;;
        "$worktree/,$worktree/"*) return 0 ;;
        esac
    done <"$scratch/worktrees"
    return 1
}

# Writes the folders of those with work to $lists/nested: on doubt, a repository has work.
list_nested() {
    list_repositories
    {
        while IFS= read -r path; do
            is_clean "$path" </dev/null 2>/dev/null || printf '%s\n' "$path"
        done <"$lists/repositories"
        [ "$here" != "$workspace" ] || {
            list_modules "$workspace/.git"
            for dir in "$workspace"/.git/worktrees/*/; do
                list_modules "${dir%/}"
            done
        } | while IFS= read -r dir; do
            modules_are_elsewhere "$dir" </dev/null 2>/dev/null || printf '%s\n' "${dir#"$workspace/"}"
        done
    } >"$lists/nested"
}

# list_modules DIR: the git directories of its submodules that are not checked out.
list_modules() {
    [ -d "$1/modules" ] || return 0
    find "$1/modules" \( -path '*/objects/??' -o -path '*/objects/pack' \) -prune -o -name HEAD -type f -print 2>/dev/null |
        while IFS= read -r file; do
            dir=${file%/HEAD}
            [ -d "$dir/objects" ] || continue
            folder=$(git config --file "$dir/config" core.worktree)
            [ "$(git_dir "$dir/$folder" 2>/dev/null)" = "$(cd "$dir" && pwd -P)" ] || printf '%s\n' "$dir"
        done
}

modules_are_elsewhere() (
    recorded "$1"
    commits_are_elsewhere "$(cd "$1" && pwd -P)" ''
)

# enter FOLDER: goes into the repository there, with $lists and $head of its own. If its commit is the one
# that the image's branch has there, in $theirs, it is not unsaved.
enter() {
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    theirs=$(git rev-parse --verify --quiet "${start:-$baked}:$1")
    cd "$1" || exit
    lists=$scratch/nested
    rm -rf "$lists" && mkdir "$lists" || exit
    use_worktree
    dir=$(git_dir .) || dir=
    head=$(git rev-parse --verify --quiet HEAD) || head=$(git hash-object -t tree --stdin </dev/null)
}

# is_clean FOLDER: whether the repository there has neither changes nor unsaved commits.
is_clean() (
    enter "$1"
    recorded "$here/$1"
    if [ -z "$dir" ]; then
        [ -n "$record" ] && [ -e "$record/broken" ]
        exit
    fi
    state_of "$dir" >"$lists/state"
    if [ -n "$record" ]; then
        same "$lists/state" "$record/state" || exit
    elif [ -s "$lists/state" ]; then
        exit 1
    fi
    for module in $(list_modules "$dir"); do
        modules_are_elsewhere "$module" || exit
    done
    list_changes "$here/$1"
    [ ! -s "$lists/changed" ] && [ ! -s "$lists/gone" ] && [ ! -s "$lists/new" ] && [ ! -s "$lists/staged" ] &&
        [ ! -s "$lists/warnings" ] && commits_are_elsewhere "$dir" "$theirs"
)

# state_of DIR: operations in progress there, and its other worktrees.
state_of() {
    operation "$1"
    ls "$1/worktrees" 2>/dev/null
    return 0
}

# commits_are_elsewhere DIR ID: whether the commits of the repository of that git directory were recorded, in
# $record, or fetched, or are reached by ID.
commits_are_elsewhere() (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_WORK_TREE
    export GIT_DIR="$1"
    {
        ends_of "$1" || exit
        [ -z "$2" ] || echo "^$2"
        [ -z "$record" ] || [ ! -s "$record/ends" ] || sed 's/^/^/' "$record/ends"
        # Not commits that were pulled from the repository itself.
        sed -n -e '/ of [./]/d' -e 's/^\([0-9a-f]\{40,\}\).*/^\1/p' "$1/FETCH_HEAD" 2>/dev/null
        sed -n -e '1{' -e 's/^[0-9a-f]* \([0-9a-f]\{40,\}\) .*	clone: from .*/^\1/p' -e '}' "$1/logs/HEAD" 2>/dev/null
    } >"$lists/ends"
    found=$(git rev-list --ignore-missing --max-count=1 --stdin --not --remotes <"$lists/ends") && [ -z "$found" ]
)

# ends_of DIR: the commits of the repository's own refs, in that git directory. A tag is its own if it is
# not packed, as a clone's are, or points to a commit that HEAD once was at.
ends_of() (
    unset GIT_WORK_TREE
    export GIT_DIR="$1"
    git rev-parse --verify --quiet HEAD
    git for-each-ref --format='%(objectname) %(refname)' >"$lists/nested-refs" || exit
    sed -n -e '/ refs\/remotes\//d' -e '/ refs\/tags\//d' -e 's/ .*//p' "$lists/nested-refs"
    git rev-list --walk-reflogs refs/stash 2>/dev/null
    git for-each-ref --format='%(objectname) %(*objectname)' refs/tags | tr ' ' '\n' | grep . |
        sort -u >"$lists/tagged"
    {
        cut -d' ' -f2 "$1/logs/HEAD"
        find "$1/refs/tags" -type f -exec sed -n 's/^\([0-9a-f]\{40,\}\)$/\1/p' {} +
    } 2>/dev/null | sort -u | comm -12 - "$lists/tagged"
    exit 0
)

# --- the record ----------------------------------------------------------------------------------

# record_repository FOLDER PATH: records the state of the repository there in the worktree.
record_repository() (
    enter "$2"
    if [ -z "$dir" ]; then
        new_place "$1/$2"
        echo >"$place/broken"
        exit
    fi
    compare_files && write_record "$1/$2" && ends_of "$dir" >"$place/ends" && state_of "$dir" >"$place/state" &&
        record_modules "$dir"
)

# record_modules DIR: the same for submodules that are not checked out.
record_modules() {
    list_modules "$1" >"$lists/modules"
    while IFS= read -r module; do
        new_place "$module"
        ends_of "$(cd "$module" && pwd -P)" >"$place/ends" </dev/null
    done <"$lists/modules"
}
