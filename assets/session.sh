# shellcheck shell=sh
# How a step of the build reaches the host's repository: through the build session, which dkr on
# the host answers; no SSH server, key or network. Read by step.sh.

: "${input:?is set by the script that reads this}"
# The image's own URL of the host is the one of a running container.
url=$(cat "$input/url")
# shellcheck disable=SC2034
from="ext::sh $input/connect.sh %S"
# The session uses protocol 2, which serves any object by its id.
# shellcheck disable=SC2034
upload_pack=git-upload-pack any_commit=git-upload-pack

# An invalid archive means that dkr could not continue reading.
# shellcheck disable=SC2034
broken_stream=changed

# Sets the URL of the remote `host` in the image: a running container's channel. Its command is
# allowed, and a push negotiates, because the host's branches are hidden from it.
set_host_url() {
    git config remote.host.url "$url"
    keep_host_url
    git config protocol.ext.allow user
    git config push.negotiate true
}

# Runs on the host the command that dkr has for $1, with the standard input and output of this
# function.
host_stream() {
    sh "$input/connect.sh" "$1"
}
