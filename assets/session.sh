# shellcheck shell=sh
# How a step of the build reaches the host's repository: through the build session, which dkr on
# the host answers; no SSH server, key or network. Read by the scripts beside it, which know only
# `git fetch host`, host_stream and fetch_commit.

: "${input:?is set by the script that reads this}"
export GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1
# The image's own URL of the host is the one of a running container.
export GIT_CONFIG_COUNT=2
export GIT_CONFIG_KEY_0="url.ext::sh $input/connect.sh %S.insteadOf"
GIT_CONFIG_VALUE_0=$(cat "$input/url")
export GIT_CONFIG_VALUE_0
export GIT_CONFIG_KEY_1=protocol.ext.allow GIT_CONFIG_VALUE_1=always

# What an archive that is none means: dkr could not read on.
# shellcheck disable=SC2034
broken_stream=changed

fail() {
    echo "dkr: $*" >&2
    exit 1
}

# Sets the URL of the remote `host` in the image: a running container's channel. Its command may run,
# and a push asks what is there, as all branches of the host are hidden from it.
set_host_url() {
    git config remote.host.url "$1"
    git config protocol.ext.allow user
    git config push.negotiate true
}

# Runs on the host the command that dkr has for $1, with the standard input and output of this
# function.
host_stream() {
    sh "$input/connect.sh" "$1"
}

# Fetches one commit if it is not there yet: no ref leads to it any more, or none ever did. The
# session speaks protocol 2, which gives any object by its id.
fetch_commit() {
    git cat-file -e "$1^{commit}" 2>/dev/null && return
    git fetch --progress --no-auto-gc --no-recurse-submodules --update-shallow --no-tags host "$1" ||
        fail "commit $1 vanished from the host's repository"
}
