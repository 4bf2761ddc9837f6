#!/bin/sh
# Checks what [post_clone] left in the image, so that a container can start from it, and repairs what it
# can. Runs in a step of the build.
set -eu

# shellcheck source=SCRIPTDIR/step.sh
. /run/dkr/step.sh

changed=$(install_runtime)
for file in $changed; do
    warn "[post_clone] changed dkr's own file $file: restoring it"
done
[ -d /tmp ] || mkdir -m 1777 /tmp

if [ ! -d "$workspace" ] || [ -L "$workspace" ]; then
    fail "[post_clone] left no directory $workspace"
fi
cd "$workspace"
if [ ! -d .git ] || [ -L .git ]; then
    [ ! -e .git ] || fail "[post_clone] left $workspace/.git as something other than a directory"
    fail "[post_clone] left no git repository in $workspace"
fi
trust_workspace
remove_stale_locks
drop_broken_refs
# Without --git-dir git would search the parent directories.
command git --git-dir=.git rev-parse ||
    fail "[post_clone] left no git repository in $workspace"
[ "$(git rev-parse --show-toplevel)" = "$workspace" ] ||
    fail "[post_clone] left a git repository in $workspace whose work tree is elsewhere"
git rev-parse --verify --quiet 'HEAD^{commit}' >/dev/null ||
    fail "[post_clone] left HEAD of $workspace without a commit"
git rev-list --objects --quiet --no-walk HEAD ||
    fail "[post_clone] left $workspace without objects of its commit"
git ls-files --stage >/dev/null || fail "[post_clone] left a broken index in $workspace"

# If this ref was removed, restore it: an update needs it.
git rev-parse --verify --quiet refs/dkr/baked >/dev/null ||
    git update-ref refs/dkr/baked "$(cat "$input/commit")" ||
    fail "[post_clone] left $workspace without the commit that was baked"
"$lib/work.sh" record || fail "cannot record what [post_clone] left in $workspace"
