#!/bin/sh
# Runs every test of dkr, from a fresh clone on a new Debian or Ubuntu machine too.
#
#     sh tests/run.sh [ARGUMENTS OF CARGO TEST]
set -eu

cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

sh fixtures/setup.sh
cargo test --locked "$@"
echo "tests: all passed"
