#!/bin/sh
# Moves /workspace to a newer commit of the host's repository, with what [post_clone] left there:
# its commits are rebased, its changes reapplied. Runs in a step of the build; everything that varies is
# in files next to this script. The image may have been built by an older dkr.
set -eu

# shellcheck source=SCRIPTDIR/step.sh
. /run/dkr/step.sh
commit=$(cat "$input/commit")

# The folders of the names that are read.
folders() {
    sed -n -e ':a' -e 's|/[^/]*$||p' -e 'ta' | sort -u
}

# Removes refs of the image where the host now has a folder of refs of that name, and those in a folder
# where it has a ref: git cannot have both. Both lists of names are already sorted.
make_way() {
    lists=$(mktemp -d)
    sed -n 's/^[0-9a-f]* //p' "$input/refs" >"$lists/theirs"
    git for-each-ref --format='%(refname)' refs/remotes/host refs/tags >"$lists/ours"
    if [ -n "$(comm -13 "$lists/ours" "$lists/theirs")" ]; then
        folders <"$lists/theirs" | comm -12 "$lists/ours" - >"$lists/going"
        folders <"$lists/ours" | comm -12 "$lists/theirs" - | while read -r name; do
            git for-each-ref --format='%(refname)' "$name/"
        done >>"$lists/going"
        say_which_tags_go <"$lists/going"
        sed 's/^/delete /' "$lists/going" | git update-ref --no-deref --stdin
    fi
    rm -r "$lists"
}

# Some may be [post_clone]'s own.
say_which_tags_go() {
    while read -r name; do
        case $name in
        refs/tags/*) warn "removing the tag ${name#refs/tags/} ($(git rev-parse --short "$name")), which is in the way of the host's tags" ;;
        esac
    done
}

# Changes of [post_clone] are stashed meanwhile, and its commits are rebased.
carry_over() {
    GIT_COMMITTER_NAME=$(git config user.name || echo dkr)
    GIT_COMMITTER_EMAIL=$(git config user.email || echo dkr@localhost)
    export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
    export GIT_AUTHOR_NAME="$GIT_COMMITTER_NAME" GIT_AUTHOR_EMAIL="$GIT_COMMITTER_EMAIL"
    git update-index -q --refresh || true
    stashed=
    if ! git diff-index --quiet HEAD; then
        git stash push --quiet
        stashed=yes
    fi

    # A file that [post_clone] made and the new commit adds is replaced: [post_clone] runs again.
    git diff-tree -r --name-only --no-renames --diff-filter=A "$baked" "$commit" |
        while IFS= read -r file; do
            [ ! -e "$file" ] || warn "replacing $file with the file of that name in the new commit"
        done
    git reset --quiet --hard "$commit"

    if [ "$(git rev-list --count "$baked..$head")" != 0 ]; then
        if git rebase --quiet --onto "$commit" "$baked" "$head"; then
            moved=$(git rev-parse HEAD)
        else
            only_a_conflict "cannot put the commits of [post_clone] onto the new ones"
            git rebase --abort
            moved=$commit
            aside=refs/dkr/set-aside/$(git rev-parse --short "$head")
            git update-ref "$aside" "$head"
            warn "commits of [post_clone] conflict with the new ones; keeping them as $aside"
        fi
        [ -z "$branch" ] || git symbolic-ref HEAD "$branch"
        git reset --quiet --hard "$moved"
    fi

    if [ -n "$stashed" ] && ! git stash pop --quiet; then
        only_a_conflict "cannot put back what [post_clone] changed"
        warn "changes of [post_clone] conflict with the new commits; keeping them in git stash:"
        git stash show --name-only >&2
        git reset --quiet --hard
    fi
}

# only_a_conflict MESSAGE: fails with it if something else went wrong, which git has reported.
only_a_conflict() {
    [ -n "$(git ls-files --unmerged)" ] || fail "$*"
}

install_runtime >/dev/null
trust_workspace
cd "$workspace"
remove_stale_locks
drop_broken_refs
set_host_url
git config remote.host.fetch "$(cat "$input/refspec")"
# A branch that was deleted on the host may now be a folder of branches there.
git config remote.host.prune true

make_way
# Tags that [post_clone] made are kept: --prune does not remove what only --tags fetches.
fetch --prune --force --tags "$from" "$(cat "$input/refspec")"
fetch_commit "$commit"
rm -f .git/FETCH_HEAD

# [post_clone]'s own commits and changes are the differences from the baked commit.
head=$(git rev-parse HEAD)
baked=$(git rev-parse --verify --quiet refs/dkr/baked) || baked=$head
branch=$(git symbolic-ref --quiet HEAD || true)

# Usually nothing is in the way: then only the files that differ are read.
if [ "$head" = "$baked" ] && git read-tree -n -m -u "$head" "$commit" 2>/dev/null; then
    git reset --quiet --keep "$commit" || fail "cannot move $workspace to commit $commit"
else
    carry_over
fi
git update-ref refs/dkr/baked "$commit"

# So that the files that were just written are not read again by every `git status`: see clone.sh.
[ -s "$input/followed" ] || {
    touch -d "@$(($(date +%s) + 1))" .git/index
    "$lib/work.sh" record || fail "cannot record the state of $workspace"
}
