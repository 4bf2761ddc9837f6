#!/bin/sh
# Puts the host's repository into /workspace at one exact commit: objects of an object image
# below are used from there, the rest is fetched. Runs in a step of the build; everything that varies
# is in files next to this script. It ends with status 76 when the object image lacks objects.
set -eu

# shellcheck source=SCRIPTDIR/step.sh
. /run/dkr/step.sh
store=/var/lib/dkr
commit=$(cat "$input/commit")
branch=$(cat "$input/branch")
upstream=$(cat "$input/upstream")

if [ -d "$workspace" ] && [ -n "$(ls -A "$workspace")" ]; then
    fail "$workspace is not empty: the base image or [pre_clone] put something there"
fi

# The ids in the packed-refs file $1.
ids_of() {
    sed -n 's/^\([0-9a-f]*\) .*/\1/p' "$1"
}

# Uses the refs as the host listed them, if all that they reach is in the object image. That is so for
# what its own refs reach; other objects may be there without the objects that they need.
take_refs() {
    [ -e "$store/packed-refs" ] || return 1
    lists=$(mktemp -d)
    {
        echo "$commit"
        ids_of "$input/refs"
    } | sort -u >"$lists/wanted"
    ids_of "$store/packed-refs" | sort -u >"$lists/known"
    comm -23 "$lists/wanted" "$lists/known" >"$lists/new"
    code=0
    if [ -s "$lists/new" ]; then
        git rev-list --objects --quiet --stdin --not --alternate-refs <"$lists/new" 2>/dev/null ||
            code=1
    fi
    rm -r "$lists"
    [ "$code" = 0 ] || return 1
    cp "$input/refs" .git/packed-refs
}

# The files that a container needs to start are in the same layer.
install_runtime >/dev/null
cp /run/dkr-runtime/home/.bazelrc /root/
trust_workspace

git init --quiet --template= "$workspace"
cd "$workspace"

# The repository is in layers: nothing may ever rewrite the packs below, and index entries must still
# match after a layer went through tar.
git config gc.auto 0
git config maintenance.auto false
git config core.checkStat minimal
git config fetch.unpackLimit 1
# See step.sh.
git config fetch.recurseSubmodules false
set_host_url
git config remote.host.fetch "$(cat "$input/refspec")"
git config remote.host.prune true

if [ -d "$store/objects" ]; then
    echo "$store/objects" >.git/objects/info/alternates
fi
if ! take_refs; then
    fetch "$from" '+refs/tags/*:refs/tags/*' "$(cat "$input/refspec")"
    fetch_commit "$commit"
    rm -f .git/FETCH_HEAD
    git pack-refs --all
fi

git update-ref refs/dkr/baked "$commit"
if [ -n "$branch" ]; then
    git symbolic-ref HEAD "refs/heads/$branch"
    git update-ref "refs/heads/$branch" "$commit"
    git config "branch.$branch.remote" host
    git config "branch.$branch.merge" "$upstream"
else
    git update-ref --no-deref HEAD "$commit"
fi
if ! git checkout --progress --force; then
    # Was an object missing that the object image should have?
    if [ -d "$store/objects" ] &&
        ! git rev-list --objects --quiet --no-walk "$commit" 2>/dev/null; then
        echo "dkr: the object image lacks objects of the commit" >&2
        exit 76
    fi
    exit 1
fi

# `git status` would read again every file that is as new as the index. So the index is made one second
# newer, and no file may be changed before that second begins.
written=$(date +%s)
touch -d "@$((written + 1))" .git/index
[ -s "$input/followed" ] || "$lib/work.sh" record || fail "cannot record the state of $workspace"
while [ -s "$input/followed" ] && [ "$(date +%s)" -le "$written" ]; do
    sleep 0.1 2>/dev/null || sleep 1
done
