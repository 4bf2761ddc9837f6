#!/bin/sh
# Measures dkr against other ways to bring a repository into an image; see --help.
set -eu

help() {
    cat <<'END'
Measures dkr against other ways to bring a repository into an image.

    sh benches/run.sh [S|M|L] [--repo PATH] [--reps N] [--long] [--json FILE] [--against FILE]
                     [--versus DKR]

  S            0.3 GB of packs, 30,000 files, 5 repetitions (the default)
  M            3 GB, 120,000 files, 3 repetitions
  L            12 GB, 400,000 files, 1 repetition
  --repo PATH  a real repository instead of a made one: a copy of the branch that it is on, a few
               commits back; updates are by the commits that follow. dkr's --clone full is an arm
               more
  --reps N     repetitions
  --long       150 updates in a row besides
  --json FILE  where the figures go (default: target/bench/ in dkr's folder)
  --against FILE   figures of another size: how time grows with bytes
  --versus DKR     measures only this dkr against another program, in turns: the first image and the
                   updates (arms `dkr` and `other`)

What it does:
  1. builds dkr (release) and this benchmark; installs nothing
  2. makes the repository (the same size has the same commit ids), with a home, keys and an SSH
     server of its own in a folder of TMPDIR
  3. in each repetition, on another copy of the repository, arms in turn:
       clone    a Dockerfile with RUN git clone over SSH, the key bound from the build context
       clone'   the same again: differences up to this one are noise
       copy     a Dockerfile that COPYs the repository from the build context
       dkr      dkr create-image, with no image or object image of the repository there
       floor    cp -r .git, parallel checkout, one read through SHA-256; on the engine's disk
     then a second branch and a force-pushed one (clone, dkr), updates by 1, 50 and 1,000 commits
     (dkr; hand: FROM the last image, RUN git fetch && git rebase), and the first and second
     `git status` in a new container
  4. in the last repetition starts 20 containers (dkr; run: the same command and image through the
     API without the entrypoint; entrypoint: the same with it), and lists 1, 100 and 1,000 images
  5. prints a table of medians with their spread, and writes JSON
  6. removes its images, containers and files, and the build cache that came while it built

A figure counts only if commit, tree, full history and a clean status were found in the image. CPU
seconds are those of the whole machine: let it do nothing else. DOCKER_HOST names the engine's unix
socket; the base image is dkr-fixtures:debian (sh fixtures/setup.sh makes it).
Others who build on that engine at the same time may lose build cache: use one of your own then.
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
PATH=$PATH:/usr/sbin:$HOME/.cargo/bin
for argument in "$@"; do
    case $argument in
    -h | --help)
        help
        exit
        ;;
    esac
done
target=${CARGO_TARGET_DIR:-$root/target}
cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" \
    --bin dkr --example bench --example generate
exec "$target/release/examples/bench" --out "$target/bench" "$@"
