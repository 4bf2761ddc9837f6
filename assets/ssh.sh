# shellcheck shell=sh
# How a step of the build reaches the host's repository: over SSH. Read by the scripts beside it,
# which know only `git fetch host`, host_stream and fetch_commit.
# The host key is pinned, and nothing waits for an answer.

: "${input:?is set by the script that reads this}"
ssh="ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes \
-o UserKnownHostsFile=$input/known_hosts -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=20"

# The fastest cipher on any processor with AES instructions; a server that lacks it gets another.
fast='-o Ciphers=^aes128-gcm@openssh.com'
# shellcheck disable=SC2086
if $ssh -G $fast localhost >/dev/null 2>&1; then
    ssh="$ssh $fast"
fi
export GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 GIT_SSH_COMMAND="$ssh"

# What an archive that is none means: an account that runs something else than it is told.
# shellcheck disable=SC2034
broken_stream=unusable

fail() {
    echo "dkr: $*" >&2
    exit 1
}

# Sets the URL of the remote `host` in the image.
set_host_url() {
    git config remote.host.url "$1"
}

# Runs on the host the command that stands in $input/streams/$1, with the standard input and output
# of this function. Ends with the command's status, or with 255 if there is no connection.
host_stream() {
    # shellcheck disable=SC2086
    $ssh -T -p "$(cat "$input/port")" -l "$(cat "$input/user")" -- "$(cat "$input/host")" \
        "$(cat "$input/streams/$1")"
}

# Fetches one commit if it is not there yet: no ref leads to it any more, or none ever did. Under
# protocol 0 the server gives it only when told to.
fetch_commit() {
    git cat-file -e "$1^{commit}" 2>/dev/null && return
    git fetch --progress --no-auto-gc --no-recurse-submodules --update-shallow --no-tags \
        --upload-pack='git -c uploadpack.allowAnySHA1InWant=true upload-pack' host "$1" ||
        fail "commit $1 vanished from the host's repository"
}
