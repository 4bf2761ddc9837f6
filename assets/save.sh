# shellcheck shell=sh
# Sourced by work.sh: creates objects of uncommitted work. A file that git cannot add as configured is saved
# unconverted; what cannot be saved at all is listed in $scratch/not-saved, and everything else is still
# saved.
# shellcheck disable=SC2016,SC2086,SC2030,SC2031,SC2034,SC2154 # variables of work.sh

: "${workspace:?is set by the script that reads this}"
filter_time=20 # seconds that filters may take
failures=100   # files that are tried one by one
# Files that git reads itself, also by the names that they have on other systems.
special='\(^"\{0,1\}\|[	/"]\)\(\.git\(modules\|attributes\)\|git\(mod\|att\)~[1-4]\|gi7eba~[1-9]\|gi7d29~[1-9]\)"\{0,1\}$'
hashed=

# Objects created from here on are discarded. With `names`, most files are only hashed.
use_scratch_objects() {
    [ "${1:-}" != names ] || hashed=--info-only
    mkdir -p "$scratch/objects"
    GIT_ALTERNATE_OBJECT_DIRECTORIES=$workspace/.git/objects
    GIT_OBJECT_DIRECTORY=$scratch/objects
    export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY
}

# git without file filters.
without_filters() {
    [ -e "$lists/no-filters" ] || {
        : >"$lists/no-filters"
        list_filters
        while IFS= read -r name; do
            value=
            [ "${name##*.}" != required ] || value=false
            git config --file "$lists/no-filters" "$name" "$value" </dev/null || return
        done <"$lists/filters"
    }
    git -c include.path="$lists/no-filters" "$@"
}

# Each repository has its own filters.
list_filters() {
    [ -e "$lists/filters" ] ||
        git config --name-only --get-regexp '^filter\..*\.(clean|process|required)$' >"$lists/filters"
}

# git with filters, within a time limit: after the first filter that exceeds it no filter runs.
limited() (
    list_filters
    if [ -s "$lists/filters" ] && command -v timeout >/dev/null; then
        [ ! -e "$scratch/slow" ] || exit 124
        limit="timeout $filter_time"
    fi
    git "$@"
    status=$?
    case $status in 124 | 143) : >"$scratch/slow" ;; esac
    exit "$status"
)

# make_tree PREFIX: the uncommitted state as a tree, in $tree, if there is any. PREFIX is put before
# listed paths.
make_tree() {
    tree=
    sort -m "$lists/changed" "$lists/new" >"$lists/present" || return
    [ -s "$lists/present" ] || [ -s "$lists/gone" ] || return 0
    GIT_INDEX_FILE=$lists/saved
    export GIT_INDEX_FILE
    rm -f "$lists/saved"
    add_files "$1" && git ls-files --stage >"$lists/saved-entries" || return
    GIT_INDEX_FILE=$lists/tree
    rm -f "$lists/tree"
    git read-tree "$head" &&
        git update-index --force-remove --stdin <"$lists/gone" &&
        git update-index --add --replace --index-info <"$lists/saved-entries" &&
        tree=$(git write-tree ${hashed:+--missing-ok})
    status=$?
    unset GIT_INDEX_FILE
    return "$status"
}

# Adds the files to an empty index: its final content is saved.
add_files() {
    : >"$lists/failed" && : >"$lists/as-they-are" || return
    git check-attr --stdin filter <"$lists/present" >"$lists/attributes" || return
    {
        sed -n -e '/: filter: \(unspecified\|unset\)$/d' -e 's/: filter: [^:]*$//p' "$lists/attributes"
        grep -i "$special" "$lists/present"
    } | sort -u >"$lists/filtered"
    comm -23 "$lists/present" "$lists/filtered" >"$lists/plain"
    add_some add_hashed "$lists/plain"
    add_some add_plain "$lists/filtered"
    drop_pointers
    add_submodules
    try_again add_unfiltered
    try_again add_bytes
    drop_refused
    git ls-files | sort >"$lists/known" && comm -23 "$lists/present" "$lists/known" >"$lists/lost" || return
    {
        sort -u "$lists/as-they-are" | comm -12 - "$lists/known" | prefix "raw $1"
        while IFS= read -r path; do
            case $path in \"*) ;; *) [ -e "$path" ] || [ -L "$path" ] || continue ;; esac
            printf 'unsaved %s\n' "$1$path"
        done <"$lists/lost"
    } >>"$scratch/not-saved"
    [ -s "$scratch/not-saved" ] || rm "$scratch/not-saved"
}

# A submodule that is not checked out is as in the index.
add_submodules() {
    [ -s "$lists/failed" ] && grep '	160000 ' "$lists/entries" >"$lists/links" || return 0
    sed -n 's/^	\(.*\)	\(.*\)$/\2	\1/p' "$lists/links" | without_filters update-index --add --replace --index-info
    sed 's/^	\(.*\)	.*$/\1/' "$lists/links" | sort >"$lists/linked"
    sort -o "$lists/failed" "$lists/failed"
    subtract failed "$lists/linked"
}

# add_some ADDER LIST: adds those files of the list that can be added, and puts the others into
# $lists/failed.
add_some() {
    [ -s "$2" ] || return 0
    rm -f "$GIT_INDEX_FILE.lock"
    if [ "$(lines "$lists/failed")" -lt "$failures" ]; then
        "$1" "$2" 2>/dev/null && return
        case $?,$(lines "$2") in
        124,* | 143,*) ;; # out of time
        *,1) ;;
        *,*)
            set -- "$1" "$2" $(($(lines "$2") / 2))
            head -n "$3" "$2" >"$2.1" && sed "1,$3d" "$2" >"$2.2"
            add_some "$1" "$2.1"
            add_some "$1" "$2.2"
            return
            ;;
        esac
    fi
    cat "$2" >>"$lists/failed"
}

# try_again ADDER: adds the files that could not be added otherwise.
try_again() {
    [ -s "$lists/failed" ] || return 0
    sort -u "$lists/failed" >"$lists/again-$1"
    cat "$lists/again-$1" >>"$lists/as-they-are"
    : >"$lists/failed"
    # There may be many, but then mostly for a single reason.
    "$1" "$lists/again-$1" 2>/dev/null || add_some "$1" "$lists/again-$1"
}

add_hashed() {
    limited update-index --add --replace $hashed --stdin <"$1"
}

# Their content is checked, too.
add_plain() {
    limited update-index --add --replace --stdin <"$1"
}

add_unfiltered() {
    without_filters update-index --add --replace --stdin <"$1"
}

# Without any conversion. Opening a pipe would block until a writer opens it.
add_bytes() {
    while IFS= read -r path; do
        case $path in \"*) ;; *) [ -f "$path" ] || return ;; esac
    done <"$1"
    limit=
    ! command -v timeout >/dev/null || limit="timeout 600"
    git hash-object -w --no-filters --stdin-paths <"$1" >"$lists/ids"
    status=$?
    limit=
    [ "$status" -eq 0 ] || return "$status"
    while IFS= read -r path && read -r id <&3; do
        mode=100644
        [ ! -x "$path" ] || mode=100755
        printf '%s %s	%s\n' "$mode" "$id" "$path"
    done <"$1" 3<"$lists/ids" | without_filters update-index --add --replace --index-info
}

# What a filter stores elsewhere, such as that of git-lfs, is lost with the container.
drop_pointers() {
    [ -s "$lists/filtered" ] || return 0
    git ls-files --stage >"$lists/stored"
    sed 's/.*/	&/' "$lists/filtered" >"$lists/patterns"
    grep -F -f "$lists/patterns" "$lists/stored" >"$lists/candidates"
    while IFS= read -r line; do
        path=${line#*	} id=${line#* }
        id=${id%% *}
        git cat-file blob "$id" </dev/null 2>/dev/null | head -c 200 |
            grep -q -a -e '^version https://[a-z.-]*git-lfs' -e '^version https://hawser' -e '/annex/objects/' || continue
        # A pointer file that was not replaced by its content is complete.
        printf '%s\n' "$path" >"$lists/one"
        [ "$(git hash-object --no-filters --stdin-paths <"$lists/one")" = "$id" ] || printf '%s\n' "$path"
    done <"$lists/candidates" >"$lists/pointers"
    [ -s "$lists/pointers" ] || return 0
    without_filters update-index --force-remove --stdin <"$lists/pointers"
    cat "$lists/pointers" >>"$lists/failed"
}

# Files that git itself reads must be well-formed, or the host's git rejects them.
drop_refused() {
    git ls-files --stage | grep -i "$special" >"$lists/special" || return 0
    while IFS= read -r line; do
        path=${line#*	} mode=${line%% *} id=${line#* }
        name=${path##*/}
        accepts "$mode" "${id%% *}" "${name%\"}" </dev/null >/dev/null 2>&1 || printf '%s\n' "$path"
    done <"$lists/special" >"$lists/refused"
    without_filters update-index --force-remove --stdin <"$lists/refused"
}

# accepts MODE ID NAME: whether git accepts a tree with that file.
accepts() (
    git cat-file blob "$2" >"$lists/blob" || exit
    # git before 2.39 does not check: attr.h has the limit.
    case $3 in *[Aa][Tt][Tt]*) [ -z "$(cut -b 2048- "$lists/blob" | head -c 1)" ] || exit ;; esac
    unset GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_WORK_TREE
    export GIT_DIR="$lists/fsck"
    rm -rf "$GIT_DIR" && git init --quiet --bare "$GIT_DIR" &&
        git hash-object -w --stdin <"$lists/blob" &&
        printf '%s blob %s	%s\n' "$1" "$2" "$3" | git mktree &&
        git fsck --strict --no-dangling
)

# report_staged FOLDER: what is in the index of the worktree there, and in no file. The commit is always
# the same.
report_staged() (
    [ -s "$lists/staged" ] || exit 0
    drop_missing "$1/" || exit
    files=$(cut -f2 "$lists/staged" | sort -u | wc -l)
    [ "$files" -gt 0 ] || exit 0
    GIT_INDEX_FILE=$lists/staged-index
    export GIT_INDEX_FILE
    rm -f "$GIT_INDEX_FILE"
    # Each of the conflicting versions gets its own name.
    side='s/^	\(.*[^"]\)\("\{0,1\}\)	\(.*\)'
    sed -e "$side 1\$/	\1.BASE\2	\3/" -e "$side 2\$/	\1.LOCAL\2	\3/" -e "$side 3\$/	\1.REMOTE\2	\3/" \
        -e 's/^	\(.*\)	\([^	]*\)$/\2	\1/' "$lists/entries" >"$lists/information"
    git read-tree "$head" && git update-index --add --replace --index-info <"$lists/information" &&
        tree=$(git write-tree) || exit
    unset GIT_INDEX_FILE
    date_as_head
    make_commit "Index: $1" || exit
    echo "staged $files $wip"
)

# drop_missing PREFIX: an index can list objects that do not exist.
drop_missing() {
    sed 's/.*	[0-7]* \([0-9a-f]*\).*/\1/' "$lists/entries" | grep -v '^0*$' | git cat-file --batch-check |
        sed -n 's/ missing$//p' | sort -u | sed 's/.*/ &/' >"$lists/nowhere"
    # A submodule's commit is in another repository.
    grep '	160000 ' "$lists/entries" >"$lists/links"
    grep -v '	160000 ' "$lists/entries" >"$lists/blobs"
    [ -s "$lists/nowhere" ] || return 0
    grep -F -f "$lists/nowhere" "$lists/blobs" >"$lists/hollow" || return 0
    sed 's/^	\(.*\)	.*/\1/' "$lists/hollow" | prefix "unsaved $1" >>"$scratch/not-saved"
    for list in entries staged; do
        grep -vxF -f "$lists/hollow" "$lists/$list" >"$lists/rest"
        mv "$lists/rest" "$lists/$list" || return
    done
}

date_as_head() {
    when="@$(git show -s --no-show-signature --format=%ct "$head") +0000"
    export GIT_AUTHOR_DATE="$when" GIT_COMMITTER_DATE="$when"
}

# make_commit TEXT: $tree as a commit, in $wip.
make_commit() {
    wip=
    [ -n "$tree" ] || return 0
    name=$(git config user.name) && [ -n "$name" ] || name=dkr
    email=$(git config user.email) && [ -n "$email" ] || email=dkr@localhost
    # git rejects a name without a letter.
    wip=$(commit_as "$name" "$email" "$1" 2>/dev/null || commit_as dkr dkr@localhost "$1")
}

# commit_as NAME EMAIL TEXT
commit_as() (
    export GIT_AUTHOR_NAME="$1" GIT_AUTHOR_EMAIL="$2" GIT_COMMITTER_NAME="$1" GIT_COMMITTER_EMAIL="$2"
    git commit-tree "$tree" -p "$head" -m "Uncommitted work of ${branch:-a detached HEAD}" -m "$3"
)
