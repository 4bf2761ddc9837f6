#!/bin/sh
# Moves /workspace to a newer commit of the host's repository, with what [post_clone] left there:
# its commits are rebased, its changes put back. Runs in a step of the build; everything that
# varies stands in files beside this script.
set -eu

input=/run/dkr
# shellcheck source=/dev/null
. "$input/reach.sh"
url=$(cat "$input/url")
commit=$(cat "$input/commit")

warn() {
    echo "dkr: warning: $*" >&2
}

cd /workspace
set_host_url "$url"
git config remote.host.fetch "$(cat "$input/refspec")"

# Tags that [post_clone] made stay: --prune does not touch what only --tags fetches.
# Looking for new commits of submodules can mean to walk the whole history; see clone.sh.
git fetch --progress --no-auto-gc --no-recurse-submodules --update-shallow --prune --force --tags \
    host
fetch_commit "$commit"
rm -f .git/FETCH_HEAD

# [post_clone]'s own commits and changes are what differs from the commit that was baked.
baked=$(git rev-parse --verify --quiet refs/dkr/baked)
head=$(git rev-parse HEAD)
branch=$(git symbolic-ref --quiet HEAD || true)
if ! git config user.email >/dev/null; then
    export GIT_COMMITTER_NAME=dkr GIT_COMMITTER_EMAIL=dkr@localhost
    export GIT_AUTHOR_NAME=dkr GIT_AUTHOR_EMAIL=dkr@localhost
fi

# Most often nothing is in the way: then only the files that differ are looked at.
move() {
    [ "$head" = "$baked" ] && git reset --quiet --keep "$commit" 2>/dev/null
}

# Otherwise changes are set aside meanwhile, and commits are made anew.
carry_over() {
    git update-index -q --refresh || true
    stashed=
    if ! git diff-index --quiet HEAD; then
        git stash push --quiet
        stashed=yes
    fi

    # A file that [post_clone] made and the new commit brings gives way: [post_clone] runs again.
    git diff --name-only --no-renames --diff-filter=A "$baked" "$commit" |
        while IFS= read -r file; do
            [ ! -e "$file" ] || warn "$file is replaced by the file of that name in the new commit"
        done
    git reset --quiet --hard "$commit"

    if [ "$(git rev-list --count "$baked..$head")" != 0 ]; then
        if git -c core.hooksPath=/dev/null -c commit.gpgSign=false -c rebase.autoStash=false \
            rebase --quiet --onto "$commit" "$baked" "$head"; then
            moved=$(git rev-parse HEAD)
        else
            git rebase --abort
            moved=$commit
            aside=refs/dkr/set-aside/$(git rev-parse --short "$head")
            git update-ref "$aside" "$head"
            warn "commits of [post_clone] conflict with the new ones; they are kept as $aside"
        fi
        [ -z "$branch" ] || git symbolic-ref HEAD "$branch"
        git reset --quiet --hard "$moved"
    fi

    if [ -n "$stashed" ] && ! git stash pop --quiet; then
        warn "changes of [post_clone] conflict with the new commits; they are kept in git stash:"
        git stash show --name-only >&2
        git reset --quiet --hard
    fi
}

move || carry_over
git update-ref refs/dkr/baked "$commit"

# So that the files that were just written are not read again by every `git status`: see clone.sh.
[ -s "$input/followed" ] || touch -d "@$(($(date +%s) + 1))" .git/index
