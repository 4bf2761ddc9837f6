#!/bin/sh
# Runs every test of dkr, from a fresh clone on a new Debian or Ubuntu machine too.
#
#     sh tests/run.sh [ARGUMENTS OF CARGO TEST]
#
# RUST_TEST_THREADS is how many tests run at once (twice as many as there are processors), TESTKIT_TIMES
# a file for the time that each of them takes.
set -eu

cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin

sh fixtures/setup.sh
# More random cases than `cargo test` alone tries, and more refs.
export PROPTEST_CASES="${PROPTEST_CASES:-4000}" TESTKIT_REFS="${TESTKIT_REFS:-30000}"
# Most tests wait for an engine, for git or for an end.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) * 2))}"
cargo test --locked "$@"
echo "tests: all passed"
