# shellcheck shell=sh
# Sourced by entrypoint.sh: moves a new working branch to the newest commit, with what [post_clone] left,
# or leaves everything as in the image. Reads $workspace, $branch, $head, $baked, $tip and $filters, and
# uses repo, as_committer and read_reason.
# shellcheck disable=SC2034,SC2154 # variables of the entrypoint

: "${workspace:?is set by the script that reads this}" "${lib:?}"
kept=$workspace/.git/dkr-kept

# Moves the branch from the baked commit onto $tip, with the commits and changes that [post_clone]
# made. If that fails, everything is restored: $reason says why, and $conflict is set if
# [post_clone] is the cause. $damaged is set if it could not be restored.
move_to_tip() {
    conflict='' damaged='' reason='git gives no reason'
    keep_filtered
    # Fails, and changes nothing, if a changed file or an untracked one is in the way.
    said=$(repo read-tree -n -m -u "$head" "$tip" 2>&1)
    case $?,$head,$said in
    "0,$baked,"*) leap ;;
    *fatal:*) false ;;
    *) carry_over ;;
    esac
    status=$?
    rm -rf "$kept"
    [ "$status" -ne 0 ] || return 0
    find_reason
    return 1
} >/dev/null 2>&1

# Changes only files that are as in the baked commit, so that they can be restored from it.
leap() {
    said=$(repo reset --quiet --keep "$tip" 2>&1) && return
    # The index is written last, or not at all.
    repo read-tree -m -u "$tip" "$head"
    remove_added
    changed --diff-filter=a | without_filters checkout-index -f -z --stdin || damaged=yes
    put_back_filtered
    return 1
}

# changed OPTION: the paths that differ between $head and $tip, each followed by a NUL byte.
changed() {
    repo diff-tree -r -z --name-only --no-renames "$1" "$head" "$tip"
}

# each_added COMMANDS: runs them in the work tree with each $path that only $tip has.
each_added() {
    changed --diff-filter=A | (cd "$workspace" && xargs -0 sh -c "for path; do $1; done" sh)
}

# Removes files that git created, and the folders that are then empty.
# shellcheck disable=SC2016 # another shell expands it
remove_added() {
    each_added 'rm -f -- "$path"; rmdir -p -- "${path%/*}"'
}

# Stashes changes meanwhile, and rebases commits.
carry_over() {
    unmerged=
    # git adds no files if untracked ones are in the way; it overwrites ignored ones.
    # shellcheck disable=SC2016 # another shell expands it
    overwritten=$(each_added '[ ! -f "$path" ] && [ ! -L "$path" ] || echo "$path"')
    set_aside || return
    if said=$(as_committer rebase --quiet --onto "$tip" "$baked" 2>&1) &&
        { [ -z "$stashed" ] || said=$(as_committer stash pop --quiet 2>&1); }; then
        # Files and the stash now differ from the image.
        "$lib/work.sh" record
        return 0
    fi
    unmerged=$(repo diff-files --name-only --diff-filter=U)
    if [ -d "$workspace/.git/rebase-merge" ] || [ -d "$workspace/.git/rebase-apply" ]; then
        without_filters rebase --abort
    fi
    take_back
    return 1
}

# Puts changes into the stash, as $stashed. If that fails, everything is restored.
set_aside() {
    before=$(repo rev-parse --verify --quiet refs/stash)
    said=$(as_committer stash push --quiet 2>&1)
    status=$?
    stashed=$(repo rev-parse --verify --quiet refs/stash)
    [ "$stashed" != "$before" ] || stashed=
    [ "$status" -eq 0 ] || [ -z "$stashed" ] || take_back
    return "$status"
}

take_back() {
    repo symbolic-ref HEAD "refs/heads/$branch"
    [ -n "$overwritten" ] || remove_added
    without_filters reset --quiet --hard "$head" || damaged=yes
    [ -z "$stashed" ] || without_filters stash pop --quiet --index || damaged=yes
    put_back_filtered
}

find_reason() {
    case ${unmerged:-},$said in
    ,*"would be overwritten"*) conflict=yes ;;
    ,*) ;;
    *)
        conflict=yes
        reason=$(echo "$unmerged" | sed -e ':a' -e '$!N' -e 's/\n/, /' -e 'ta')
        return
        ;;
    esac
    read_reason <<EOF
$said
EOF
}

# git exits at the first filter that fails, and the files after it would be lost.
without_filters() {
    for driver in $filters; do
        set -- -c "filter.$driver.process=" -c "filter.$driver.required=false" "$@"
    done
    as_committer "$@"
}

# If a filter fails, its output cannot be restored. So the files that the move changes are kept
# meanwhile.
keep_filtered() {
    [ -n "$filters" ] || return 0
    changed --diff-filter=a | repo check-attr -z --stdin filter | tr '\0' '\n' |
        while IFS= read -r path && read -r _ && read -r filter; do
            case $filter in unset | unspecified) continue ;; esac
            copy_file "$workspace" "$path" "$kept"
        done
}

# The index may know them by the sizes that they have without their filters, which git takes for a change.
put_back_filtered() {
    [ -d "$kept" ] || return 0
    (cd "$kept" && find . -type f) | sed 's|^\./||' | while IFS= read -r path; do
        copy_file "$kept" "$path" "$workspace"
        repo --literal-pathspecs ls-files --stage -z -- "$path"
    done | repo update-index -z --index-info
}

# copy_file FOLDER PATH FOLDER
copy_file() {
    [ -f "$1/$2" ] || return 0
    case $2 in */*) mkdir -p "$3/${2%/*}" ;; *) mkdir -p "$3" ;; esac
    cp -p "$1/$2" "$3/$2"
}
