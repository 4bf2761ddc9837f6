# shellcheck shell=sh
# Sourced by work.sh: other repositories in a worktree that have work of their own: new ones, submodules,
# and others that the image held; ignored ones, too. What they hold is not taken, only named.
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"

# Writes their folders to $lists/repositories.
list_repositories() {
    find . -name .git -prune -print >"$lists/found" 2>/dev/null
    [ $? -le 1 ] || fail "cannot look for repositories in $(pwd)"
    here=$(pwd -P)
    sed -n 's|^\./\(.*\)/\.git$|\1|p' "$lists/found" | while IFS= read -r path; do
        ! is_repository "$path" || is_worktree "$here/$path" </dev/null || printf '%s\n' "$path"
    done >"$lists/repositories"
    # The rest of a name with a line end in it.
    grep -v '^\./' "$lists/found" >>"$lists/repositories"
    return 0
}

is_repository() {
    # git would find the one around it.
    [ "$(git_dir "$1")" != "$(git_dir .)" ]
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

# Writes the folders of those with work to $lists/nested: what cannot be shown to have none has some.
list_nested() {
    list_repositories
    {
        while IFS= read -r path; do
            is_clean "$path" </dev/null 2>/dev/null || printf '%s\n' "$path"
        done <"$lists/repositories"
        [ "$here" != "$workspace" ] || list_modules | while IFS= read -r dir; do
            recorded "$dir"
            commits_are_elsewhere "$dir" '' </dev/null 2>/dev/null || printf '%s\n' "$dir"
        done
    } >"$lists/nested"
}

# The git directories of submodules that are not checked out.
list_modules() {
    find .git/modules .git/worktrees/*/modules -name objects -prune -o -name HEAD -type f -print 2>/dev/null |
        while IFS= read -r file; do
            dir=${file%/HEAD}
            [ -d "$dir/objects" ] || continue
            folder=$(git config --file "$dir/config" core.worktree)
            [ -e "$dir/$folder/.git" ] || printf '%s\n' "$dir"
        done
}

# enter FOLDER: goes into the repository there, with $lists and $head of its own. Where its commit is the
# one that the image's branch has there, in $theirs, somebody else has it, too.
enter() {
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    theirs=$(git rev-parse --verify --quiet "${start:-$baked}:$1")
    cd "$1" || exit
    lists=$scratch/nested
    rm -rf "$lists" && mkdir "$lists" || exit
    head=$(git rev-parse --verify --quiet HEAD) || head=$(git hash-object -t tree --stdin </dev/null)
}

# is_clean FOLDER: whether the repository there has neither changes nor commits that are nowhere else.
is_clean() (
    enter "$1"
    list_changes "$here/$1"
    [ ! -s "$lists/changed" ] && [ ! -s "$lists/gone" ] && [ ! -s "$lists/new" ] && [ ! -s "$lists/staged" ] &&
        commits_are_elsewhere "$(git_dir .)" "$theirs"
)

# commits_are_elsewhere DIR ID: whether what the repository of that git directory holds was recorded, in
# $record, or fetched, or ID leads to it.
commits_are_elsewhere() (
    unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
    export GIT_DIR="$1" GIT_WORK_TREE=.
    {
        ends_of "$1" || exit
        [ -z "$2" ] || echo "^$2"
        [ -z "$record" ] || [ ! -s "$record/ends" ] || sed 's/^/^/' "$record/ends"
        sed -n 's/^\([0-9a-f]\{40,\}\).*/^\1/p' "$1/FETCH_HEAD" 2>/dev/null
    } >"$lists/ends"
    found=$(git rev-list --ignore-missing --max-count=1 --stdin --not --remotes <"$lists/ends") && [ -z "$found" ]
)

# ends_of DIR: the commits that branches, HEAD, stash and own tags lead to in the repository of that git
# directory; cloned tags are packed.
ends_of() (
    export GIT_DIR="$1" GIT_WORK_TREE=.
    git rev-parse --verify --quiet HEAD
    git for-each-ref --format='%(objectname)' refs/heads refs/stash
    git rev-list --walk-reflogs refs/stash 2>/dev/null
    find "$1/refs/tags" -type f -exec sed -n 's/^\([0-9a-f]\{40,\}\)$/\1/p' {} + 2>/dev/null
    exit 0
)

# --- the record ----------------------------------------------------------------------------------

# record_repository FOLDER PATH: writes down what the repository there in the worktree holds.
record_repository() (
    enter "$2"
    compare_files && write_record "$1/$2" && ends_of "$(git_dir .)" >"$place/ends"
)

record_modules() {
    list_modules >"$scratch/modules"
    while IFS= read -r dir; do
        new_place "$dir"
        ends_of "$dir" >"$place/ends" </dev/null
    done <"$scratch/modules"
}
