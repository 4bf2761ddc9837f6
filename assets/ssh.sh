# shellcheck shell=sh
# How a step of the build reaches the host's repository: over SSH. Read by step.sh.
# The host key is pinned, and nothing waits for an answer.

: "${input:?is set by the script that reads this}"
ssh="ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes \
-o UserKnownHostsFile=$input/known_hosts -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=20"

# The fastest cipher on any processor with AES instructions; a server that lacks it uses another.
fast='-o Ciphers=^aes128-gcm@openssh.com'
# shellcheck disable=SC2086
if $ssh -G $fast localhost >/dev/null 2>&1; then
    ssh="$ssh $fast"
fi
export GIT_SSH_COMMAND="$ssh" GIT_SSH_VARIANT=ssh

url=$(cat "$input/url")
# shellcheck disable=SC2034
from=$url

# The user's own server is not configured for dkr. By default it serves a broken ref
# with an id of zeros, which a fetch rejects, and, under protocol 0, no commit that no ref points to.
host_git=
[ ! -s "$input/broken" ] || host_git='env GIT_REF_PARANOIA=0 '
# shellcheck disable=SC2034
upload_pack=${host_git}git-upload-pack
# shellcheck disable=SC2034
any_commit="${host_git}git -c uploadpack.allowAnySHA1InWant=true upload-pack"

# An invalid archive means an account that does not run the command.
# shellcheck disable=SC2034
broken_stream=unusable

# Sets the URL of the remote `host` in the image, which may be configured for other servers.
set_host_url() {
    git config remote.host.url "$url"
    keep_host_url
    if command git config --get-regexp '^(protocol\.allow|ssh\.variant)$' >/dev/null; then
        git config protocol.ssh.allow always
        git config ssh.variant ssh
    fi
}

# Runs on the host the command in $input/streams/$1, with the standard input and output
# of this function. Ends with the command's status, or with 255 if there is no connection.
host_stream() {
    # shellcheck disable=SC2086
    $ssh -T -p "$(cat "$input/port")" -l "$(cat "$input/user")" -- "$(cat "$input/host")" \
        "$(cat "$input/streams/$1")"
}
