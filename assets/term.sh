# shellcheck shell=sh
# Sourced by entrypoint.sh and attach.sh: makes TERM one that this image has a description of.
# A terminal newer than the image's terminfo would otherwise keep tmux and editors from starting.

# Succeeds if a description of terminal $1 is installed. Entries are under the first letter of
# the name.
known_term() {
    initial=${1%"${1#?}"}
    for folder in "${TERMINFO:-/etc/terminfo}" "${HOME:-/root}/.terminfo" \
        /etc/terminfo /lib/terminfo /usr/lib/terminfo /usr/share/terminfo; do
        [ ! -e "$folder/$initial/$1" ] || return 0
    done
    return 1
}

case ${TERM:-} in
'' | dumb) ;;
*)
    if ! known_term "$TERM"; then
        TERM=xterm
        ! known_term xterm-256color || TERM=xterm-256color
        export TERM
    fi
    ;;
esac
