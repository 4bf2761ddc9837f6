#!/bin/sh
# Joins git's standard input and output to the host's socket for one service. Called by git as
# the remote helper of `ext::/usr/local/lib/dkr/connect %S`.
folder=${DKR_CHANNEL:-/run/dkr}
case $1 in
git-upload-pack | git-receive-pack) ;;
*)
    echo "dkr: the host does not offer \`$1\`" >&2
    exit 1
    ;;
esac
if ! command -v socat >/dev/null; then
    echo "dkr: \`socat\` is not installed in this container" >&2
    exit 1
fi
# After a push git closes its side and waits for the answer, which may take the host minutes:
# by default socat would wait for half a second. And git must notice the end of the host's side:
# socat closes the output, which nothing else here may hold open.
exec 3<&0
socat -t 86400 -,shut-close "UNIX-CONNECT:$folder/$1" <&3 3<&- 2>/dev/null &
exec 1>&- 3<&-
wait $! && exit
name=${DKR_CONTAINER:-${DKR_WORK_BRANCH:-$(git symbolic-ref --quiet --short HEAD 2>/dev/null)}}
echo 'dkr: the host does not answer' >&2
echo "hint: run \`dkr attach ${name:-NAME}\` on the host, then try again here" >&2
exit 1
