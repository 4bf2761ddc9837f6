#!/bin/sh
# Checks what [post_clone] left in /workspace: without a repository and a commit in it no container
# could start. Runs in a step of the build.
set -eu

workspace=/workspace

fail() {
    echo "dkr: $*" >&2
    exit 1
}

cd "$workspace" 2>/dev/null || fail "[post_clone] left no folder $workspace"
dir=$(git rev-parse --absolute-git-dir 2>/dev/null) || dir=
[ "$dir" = "$workspace/.git" ] || fail "[post_clone] left no git repository in $workspace"
git rev-parse --verify --quiet 'HEAD^{commit}' >/dev/null ||
    fail "[post_clone] left HEAD of $workspace at no commit"
