#!/bin/sh
# Run by dkr as `attach.sh ID` with a terminal in a running container: attaches it to tmux. Its exit
# status says what happened: 10, detached, the session is still running; 0, the session has ended.
# `attach.sh --hang-up ID` ends the client that runs under that ID, as a closed terminal would:
# the engine leaves it running when dkr is gone.
set -u

lib=/usr/local/lib/dkr
pid_file=/tmp/.dkr-attach-${2:-${1:-$$}}

if [ "${1:-}" = --hang-up ]; then
    read -r pid <"$pid_file" || exit 1
    # The script leads the process group that its terminal made.
    kill -HUP "-$pid"
    exit
fi

# shellcheck source=/dev/null
. "$lib/term.sh"

printf '%s\n' "$$" >"$pid_file"
trap 'rm -f "$pid_file"' EXIT
trap 'exit 129' HUP

# tmux refuses to attach from inside itself.
unset TMUX
# The entrypoint may still be fetching.
until tmux has-session 2>/dev/null; do sleep 0.05; done

target= # tmux then takes the session used last
! tmux has-session -t =main 2>/dev/null || target='=main'
tmux -u attach-session ${target:+-t "$target"}
status=$?
if tmux has-session 2>/dev/null; then
    [ "$status" -eq 0 ] || exit "$status"
    exit 10
fi
exit 0
