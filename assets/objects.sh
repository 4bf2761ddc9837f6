#!/bin/sh
# Copies the host's packs unchanged into /var/lib/dkr/objects, and the loose objects in use as one more
# pack. Runs in a step of the build; everything that varies is in files next to this script. Existing
# packs are kept: the step may update an object image.
# It ends with status 75 when the host's packs changed meanwhile (dkr lists them again), and with 76
# when they cannot be copied at all (dkr clones instead).
set -eu

# shellcheck source=SCRIPTDIR/step.sh
. /run/dkr/step.sh
store=/var/lib/dkr
packs=$store/objects/pack
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

changed() {
    echo "dkr: the host's packs changed: $*" >&2
    exit 75
}
unusable() {
    echo "dkr: $*" >&2
    exit 76
}

# git in the object image's own repository: git 3 does not find a bare one by itself.
in_store() {
    git --git-dir="$store" "$@"
}

# The last 20 bytes of a pack are its checksum; its index has them before its own checksum
# (gitformat-pack).
checksum_of_pack() {
    tail -c 20 "$1" | od -An -v -tx1
}
checksum_in_index() {
    tail -c 40 "$1" | head -c 20 | od -An -v -tx1
}

# Prints how many of $1 MiB have arrived, in the form of git's own progress, as long as $work exists.
show_copying() {
    while [ -d "$work" ]; do
        arrived=0
        for file in "$packs"/*; do
            arrived=$((arrived + $(stat -c %s "$file" 2>/dev/null || echo 0)))
        done
        arrived=$((arrived / 1048576))
        printf 'Copying packs: %d%% (%d/%d)\r' $((100 * arrived / $1)) "$arrived" "$1" >&2
        sleep 0.5
    done
}

# Whether the disk has space for another mebibyte.
has_room() {
    head -c 1048576 /dev/zero >"$work/room" 2>/dev/null && rm "$work/room"
}

# Copies the files that the list $2 names from the pack folder number $1.
copy_folder() {
    code=0
    { host_stream "packs-$1" <"$2" || echo $? >"$work/code-$1"; } | tar -xof - -C "$packs" || code=$?
    remote=0
    [ ! -e "$work/code-$1" ] || remote=$(cat "$work/code-$1")
    [ "$code$remote" = 00 ] || has_room || fail "the engine's disk is full"
    case $remote in
        0) [ "$code" = 0 ] || "${broken_stream:?}" "the host did not send an archive" ;;
        1 | 2) changed "tar on the host exited with status $remote" ;;
        126 | 127 | 128) unusable "the host's account cannot run tar (status $remote)" ;;
        *) fail "the connection to the host was lost (status $remote)" ;;
    esac
}

if [ ! -e "$store/HEAD" ]; then
    git init --quiet --bare --template= "$store"
    in_store config gc.auto 0
    in_store config maintenance.auto false
fi

# Loose objects are sent in parallel with the packs, over a connection of their own.
loose=
if [ -s "$input/loose" ]; then
    in_store cat-file --batch-check <"$input/loose" |
        sed -n 's/ missing$//p' >"$work/loose"
    if [ -s "$work/loose" ]; then
        host_stream loose <"$work/loose" >"$work/loose.pack" &
        loose=$!
    fi
fi

total=0
for list in "$input"/packs-*; do
    [ -e "$list" ] || continue
    while read -r size name; do
        [ -e "$packs/$name" ] || total=$((total + size / 1048576))
    done <"$list"
done
[ "$total" = 0 ] || show_copying "$total" &

for list in "$input"/packs-*; do
    [ -e "$list" ] || continue
    number=${list##*-}
    while read -r size name; do
        [ -e "$packs/$name" ] || echo "$name"
    done <"$list" >"$work/list-$number"
    [ ! -s "$work/list-$number" ] || copy_folder "$number" "$work/list-$number"
    while read -r size name; do
        [ "$(stat -c %s "$packs/$name" 2>/dev/null)" = "$size" ] || changed "$name"
    done <"$list"
done

for index in "$packs"/*.idx; do
    [ -e "$index" ] || continue
    pack=${index%.idx}
    [ ! -e "$pack.keep" ] || continue
    [ "$(checksum_of_pack "$pack.pack")" = "$(checksum_in_index "$index")" ] ||
        unusable "${pack##*/}.pack does not match its index: run git fsck on the host"
    # Nothing may ever repack what is in a lower layer.
    : >"$pack.keep"
done

if [ -n "$loose" ]; then
    wait "$loose" || changed "loose objects are missing (status $?)"
    in_store index-pack --keep --stdin <"$work/loose.pack" >/dev/null ||
        unusable "the pack of loose objects is damaged"
fi

# Every tip must be there, and every commit behind them: the graph covers all of them.
ids=$(sed -n 's/^\([0-9a-f]*\) .*/\1/p' "$input/refs")
missing=$(echo "$ids" | in_store cat-file --batch-check | sed -n '/ missing$/{p;q;}')
[ -z "$missing" ] || changed "${missing% missing} is missing"
cp "$input/refs" "$store/packed-refs"
# dkr reads this list of the image's packs.
(cd "$packs" && ls) >"$store/packs"
if [ "$(find "$packs" -name '*.idx' | wc -l)" -gt 1 ]; then
    in_store multi-pack-index write ||
        unusable "cannot join the indexes of the packs"
fi
in_store commit-graph write --reachable ||
    unusable "some commits of the host's repository are not in its packs"
