#!/bin/sh
# Kills dkr at random moments of each of its commands, and checks after each kill that no work is lost,
# the repository is as it was, and the next command mends the rest. Prints a table.
#
#     sh tests/soak.sh [COMMAND...]
#
# COMMAND is one of the table's. SOAK_KILLS is how often each command is killed (100), SOAK_SECONDS how
# long all of it may take (3600): what is not done by then is left out. Run it as root, on an engine
# with nothing else to do: DOCKER_HOST names another one.
set -eu

cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

sh fixtures/setup.sh >&2
exec cargo test --locked --quiet --test soak -- "$@"
