#!/bin/sh
# Joins standard input and output to one of the services that dkr offers to a step of the build: it
# reads the service's name as the first line.
# git must notice the end of a service while it waits: socat closes the output, which nothing else here
# may hold open.
exec 3<&0
{
    echo "$1"
    cat <&3
} | socat -t 86400 -,shut-close "UNIX-CONNECT:$SSH_AUTH_SOCK" 3<&- &
exec 1>&- 3<&-
wait $!
