# shellcheck shell=sh
# Sourced by work.sh: which files of a worktree differ from the commit of its HEAD, and from what the
# image held. Lists have one path per line, sorted, quoted as by git; all are in $lists:
#
#   changed, gone, new   files that differ, are missing, or are not in the commit
#   staged               what only the index holds: the mode, the id and the path
#   index                the index as a file, without marks that hide changes
#   stages               the entries of an index that holds conflicts
# shellcheck disable=SC2030,SC2031,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"
baseline=$workspace/.git/dkr-baseline
many=1000 # up to so many files are compared again without checking their times

# Writes the folders of the other worktrees to $scratch/worktrees, and the git directories of those that are
# gone or replaced to $scratch/lost-worktrees.
list_worktrees() {
    : >"$scratch/worktrees"
    : >"$scratch/lost-worktrees"
    for dir in .git/worktrees/*/; do
        dir=${dir%/}
        [ -s "$dir/gitdir" ] || continue
        [ "$(lines "$dir/gitdir")" -le 1 ] || fail "the path of the worktree $dir contains a newline"
        read_folder "$dir"
        if [ "$(git_dir "$folder" 2>/dev/null)" = "$(cd "$dir" && pwd -P)" ]; then
            (cd "$folder" && pwd -P) >>"$scratch/worktrees"
        else
            echo "$dir" >>"$scratch/lost-worktrees"
        fi
    done
}

# read_folder DIR: where the worktree of that git directory is, in $folder.
read_folder() {
    IFS= read -r folder <"$1/gitdir"
    folder=${folder%/.git}
    case $folder in /*) ;; *) folder=$workspace/$1/$folder ;; esac
}

# list_changes FOLDER: the lists of the worktree here, without what was recorded for FOLDER.
list_changes() {
    compare_files && subtract_baseline "$1" || exit
}

# What differs from the commit, including what the image held.
compare_files() {
    GIT_INDEX_FILE=$lists/index
    export GIT_INDEX_FILE
    make_lists
    status=$?
    unset GIT_INDEX_FILE
    return "$status"
}

make_lists() {
    copy_index || return
    git diff-index --cached --raw --no-abbrev --no-renames --ita-invisible-in-index --ignore-submodules=none "$head" -- >"$lists/indexed" &&
        compare_with_index || return
    paths_of '[MTA]' differing | sort >"$lists/unlike-index"
    paths_of D differing | sort >"$lists/absent"
    paths_of A indexed | sort >"$lists/added"
    paths_of D indexed | sort >"$lists/removed"
    [ ! -s "$lists/indexed" ] || {
        take_index_back && compare_with_index || return
    }
    # Files are now compared with the commit; what only the index has is new while the file exists.
    {
        paths_of '[MTA]' differing
        comm -23 "$lists/added" "$lists/absent"
    } | sort -u >"$lists/changed"
    paths_of D differing | sort >"$lists/missing"
    comm -23 "$lists/missing" "$lists/added" >"$lists/gone"
    leave_sparse_out || return
    git ls-files --others --exclude-standard >"$lists/others" 2>"$lists/warnings" || return
    sed -n "s|^warning: could not open directory '\(.*\)/': .*|\1|p" "$lists/warnings" |
        prefix "unsaved $(pwd -P)/" >>"$scratch/not-saved"
    grep -v '/"\{0,1\}$' "$lists/others" | sort >"$lists/new"
    list_staged
}

# paths_of STATUS LIST: the paths in git's raw lines.
paths_of() {
    sed -n "s/^:[0-7]* [0-7]* [0-9a-f]* [0-9a-f]* $1	//p" "$lists/$2"
}

# Copies the index here without flags that hide files and without conflicts. An unreadable index is
# replaced by that of the commit. When git writes an index, it compares files that are as new as it.
copy_index() {
    rm -f "$lists/index"
    : >"$lists/stages"
    own=$(git_dir .)/index
    # Its time matters.
    if [ ! -e "$own" ] || ! cp -p "$own" "$lists/index" || ! git ls-files -v >"$lists/flags" 2>/dev/null; then
        rm -f "$lists/index"
        without_filters read-tree "$head"
        return
    fi
    sed -n 's/^[a-zS] //p' "$lists/flags" >"$lists/flagged"
    if [ -s "$lists/flagged" ]; then
        without_filters update-index --no-assume-unchanged --stdin <"$lists/flagged" &&
            without_filters update-index --no-skip-worktree --stdin <"$lists/flagged" || return
    fi
    ! grep -q '^[Mm] ' "$lists/flags" || {
        git ls-files --unmerged >"$lists/stages" || return
        sed 's/^[^	]*	//' "$lists/stages" | without_filters update-index --force-remove --stdin
    }
}

# Writes raw lines of the files that differ from the copied index to $lists/differing. An index that
# came through an archive, as in an image that was pulled, does not know the files' inodes; files that
# have not changed since the start are not read again then.
compare_with_index() {
    check=default
    [ -s "$started" ] || check=minimal # nothing is hidden in a build
    without_filters -c core.checkStat="$check" -c core.trustctime=true diff-files --raw --no-abbrev --no-renames \
        --ignore-submodules=dirty >"$lists/touched" || return
    : >"$lists/differing"
    [ -s "$lists/touched" ] || return 0
    suspects=touched
    if [ "$(lines "$lists/touched")" -gt "$many" ] && find_newer; then
        suspects=newer-touched
    fi
    # An entry without a time is compared by content.
    sed -n 's/^:\([0-7]*\) [0-7]* \([0-9a-f]*\) [0-9a-f]* [MT]	/\1 \2	/p' "$lists/$suspects" |
        without_filters update-index --index-info || return
    refresh && "$compare" diff-files --raw --no-abbrev --no-renames --ignore-submodules=dirty >"$lists/differing"
}

# Selects the touched files that may have been changed since the start. A file that was removed for a
# moment has the time of its folder.
find_newer() {
    [ -s "$started" ] && [ "$(date +%s)" -ge "$(stat -c %Y "$started")" ] || return
    find . -name .git -prune -o -cnewer "$started" -print >"$lists/newer" 2>/dev/null || return
    sed 's|^\./|	|' "$lists/newer" >"$lists/patterns"
    {
        grep -F -f "$lists/patterns" "$lists/touched"
        grep '	"' "$lists/touched" # quoted
    } >"$lists/newer-touched"
    return 0
}

# Compares the files whose times the index does not know. If a filter fails, git exits: then the
# files are compared without filters, by $compare.
refresh() {
    for compare in limited without_filters; do
        "$compare" update-index -q --refresh >/dev/null 2>&1
        [ $? -gt 1 ] || return 0
        rm -f "$GIT_INDEX_FILE.lock"
    done
    fail "git cannot compare the files in $(pwd) with its index"
}

# Resets the copied index to the commit, but keeps the entries that only it has.
take_index_back() {
    sed -n 's/^:\([0-7]*\) [0-7]* \([0-9a-f]*\) [0-9a-f]* [MTD]	/\1 \2	/p' "$lists/indexed" |
        without_filters update-index --replace --index-info
}

# What a sparse checkout leaves out is not missing. git only computes that where it may change a work
# tree: here that is an empty folder.
leave_sparse_out() {
    [ -s "$lists/gone" ] && [ "$(git config --type=bool core.sparseCheckout)" = true ] || return 0
    mkdir -p "$scratch/empty" && cp -p "$lists/index" "$lists/sparse" || return
    (
        GIT_DIR=$(git_dir .) GIT_WORK_TREE=$scratch/empty GIT_INDEX_FILE=$lists/sparse
        export GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
        git read-tree -m -u "$head" && git ls-files -v >"$lists/flags"
    ) || return
    sed -n 's/^[Ss] //p' "$lists/flags" | sort >"$lists/excluded"
    subtract gone "$lists/excluded" && subtract missing "$lists/excluded"
}

# The index entries that differ from the commit and from the file, and those removed from the index whose
# file exists. Conflicts count unless an operation in progress explains them.
list_staged() {
    paths_of '[MTA]' indexed | sort >"$lists/set"
    sed 's/^[^	]*	//' "$lists/stages" | sort -u >"$lists/unmerged"
    {
        sort -u "$lists/unlike-index" "$lists/absent" | comm -12 "$lists/set" -
        comm -23 "$lists/removed" "$lists/missing" | comm -23 - "$lists/unmerged"
        [ -n "$(operation "$(git_dir .)")" ] || cat "$lists/unmerged"
    } | sed 's/.*/	&	/' >"$lists/only-index"
    list_entries
    : >"$lists/staged"
    [ ! -s "$lists/only-index" ] || grep -F -f "$lists/only-index" "$lists/entries" >"$lists/staged"
    return 0
}

# The index entries that differ from the commit, as lines `<tab>PATH<tab>MODE ID [STAGE]`; MODE is 000000 for
# removed entries.
list_entries() {
    {
        sed 's/^:[0-7]* \([0-7]*\) [0-9a-f]* \([0-9a-f]*\) .	\(.*\)/	\3	\1 \2/' "$lists/indexed"
        sed 's/^\([0-7]* [0-9a-f]* [123]\)	\(.*\)/	\2	\1/' "$lists/stages"
    } | sort >"$lists/entries"
}

# recorded FOLDER: the record of that repository in the image, in $record; empty: none.
recorded() {
    record=$(grep -n -xF -e "$1" "$baseline/places" 2>/dev/null | head -n 1)
    record=${record:+$baseline/${record%%:*}}
}

# Removes from the lists what the image held.
subtract_baseline() {
    recorded "$1"
    [ -n "$record" ] || return 0
    subtract staged "$record/staged"
    subtract gone "$record/gone"
    subtract_odd
    [ -s "$record/files" ] && { [ -s "$lists/changed" ] || [ -s "$lists/new" ]; } || return 0
    list_unaltered || return
    subtract changed "$lists/unaltered"
    subtract new "$lists/unaltered"
}

# subtract LIST FROM: removes sorted lines from a list.
subtract() {
    [ -s "$2" ] || return 0
    comm -23 "$lists/$1" "$2" >"$lists/rest" && mv "$lists/rest" "$lists/$1"
}

strictly() {
    without_filters -c core.checkStat=default -c core.trustctime=true "$@"
}

# Removes what git cannot add and has not changed.
subtract_odd() {
    [ -s "$record/odd" ] || return 0
    cut -f1 "$record/odd" >"$lists/odd-paths"
    describe_odd <"$lists/odd-paths" | sort >"$lists/odd-now"
    comm -12 "$lists/odd-now" "$record/odd" | cut -f1 >"$lists/odd"
    subtract changed "$lists/odd"
    subtract new "$lists/odd"
}

# A line `PATH<tab>SUM` of each such file; for other things than files, such as a pipe, without a sum.
describe_odd() {
    while IFS= read -r path; do
        sum=
        [ ! -f "$path" ] || sum=$(cksum <"$path")
        printf '%s	%s\n' "$path" "$sum"
    done
}

# The files that are unchanged since the record, whose times are updated so that they are not read again.
list_unaltered() {
    cp -p "$record/files" "$lists/recorded" || return
    with_index "$lists/recorded" strictly update-index -q --refresh >/dev/null 2>&1
    with_index "$lists/recorded" strictly diff-files --name-only --ignore-submodules=dirty >"$lists/altered" &&
        with_index "$lists/recorded" git ls-files >"$lists/all" || return
    sort -o "$lists/altered" "$lists/altered" && sort -o "$lists/all" "$lists/all" &&
        comm -23 "$lists/all" "$lists/altered" >"$lists/unaltered" || return
    same "$lists/recorded" "$record/files" || {
        cp -p "$lists/recorded" "$record/files.new" && mv "$record/files.new" "$record/files"
    } 2>/dev/null || :
}

# without_recorded NAME FILE: prints the lines of the file that the record of that name does not have.
without_recorded() {
    if [ -s "$baseline/$1" ]; then
        grep -vxF -f "$baseline/$1" "$2"
    else
        # For some greps an empty pattern list matches everything.
        cat "$2"
    fi
}

# --- the record ----------------------------------------------------------------------------------

# Records the present state.
record() {
    new=$baseline.new
    rm -rf "$new" && mkdir "$new" && : >"$new/places" || exit
    record_worktree "$workspace" || exit
    while IFS= read -r folder; do
        in_worktree "$folder" record_worktree "$folder" </dev/null || :
    done <"$scratch/worktrees"
    record_modules "$workspace/.git"
    list_git_dirs >"$lists/dirs"
    list_operations | sort >"$new/operations"
    noted_commits | sort >"$new/noted"
    list_refs >"$new/refs" && list_stash | sort >"$new/stash" || exit
    { git rev-parse --verify --quiet refs/dkr/baked; git for-each-ref --format='%(objectname)' refs/remotes/host; } >"$new/host"
    check_disk
    rm -rf "$baseline" && mv "$new" "$baseline"
}

record_worktree() {
    compare_files && write_record "$1" && list_repositories || exit
    while IFS= read -r path; do
        # What cannot be recorded counts as work.
        record_repository "$1" "$path" </dev/null 2>/dev/null || :
    done <"$lists/repositories"
}

# write_record FOLDER: records the lists, as those of the repository there, in $place.
write_record() {
    new_place "$1"
    cp "$lists/gone" "$place" && sort -u "$lists/entries" >"$place/staged" &&
        sort -m "$lists/changed" "$lists/new" >"$lists/present" || return
    [ -s "$lists/present" ] || return 0
    : >"$lists/failed"
    # To compare a symbolic link git also needs its content.
    list_links <"$lists/present" | sort >"$lists/links"
    comm -23 "$lists/present" "$lists/links" >"$lists/files"
    with_index "$place/files" add_some add_record "$lists/files"
    with_index "$place/files" add_some add_unfiltered "$lists/links"
    with_index "$place/files" git ls-files | sort | comm -23 "$lists/present" - | describe_odd | sort >"$place/odd"
}

list_links() {
    while IFS= read -r path; do
        [ ! -L "$path" ] || printf '%s\n' "$path"
    done
}

add_record() {
    without_filters update-index --add --replace --info-only --stdin <"$1"
}

# new_place NAME: a folder for its record, in $place.
new_place() {
    printf '%s\n' "$1" >>"$new/places"
    place=$new/$(lines "$new/places")
    mkdir "$place" || exit
}
