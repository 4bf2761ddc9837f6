#!/bin/sh
# Prints the licences of the crates that are linked into the program, with their texts, as a package of the
# program has to hold them.
#
#     sh dist/notices.sh TARGET
#
# The texts are those in cargo's copies of the crates, each once.
set -eu

target=$1
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cargo/bin
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cargo tree --locked --package dkr --edges normal,no-proc-macro --prefix none --format '{p}|{l}' \
    --target "$target" >"$work/tree"
sed -n 's/^\([^ ]*\) v\([^ |]*\)|\([^(]*\).*/\1 \2|\3/p' "$work/tree" | sed 's/ *$//' | sort -u >"$work/crates"
[ -s "$work/crates" ] || {
    echo "error: \`cargo tree\` names no crates" >&2
    exit 1
}

cat <<END
dkr is linked with these crates, each under the licence beside it, and with the standard library of Rust
(MIT OR Apache-2.0). libgit2-sys holds libgit2, and libz-sys may hold zlib. The texts of the licences follow.

END
sed 's/|/: /' "$work/crates"

# A line for each text: its checksum, the crate, its file.
while IFS='|' read -r crate _; do
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"${crate% *}-${crate#* }"; do
        find "$folder" -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \
            -o -iname 'copyright*' -o -iname 'unlicense*' \) ! -name '*.html' ! -name '*.rs' |
            sort | while read -r file; do
            sum=$(cksum <"$file" | tr ' ' '-')
            cp "$file" "$work/$sum.text"
            echo "$sum $crate"
        done
    done
done <"$work/crates" >"$work/texts"
[ -s "$work/texts" ] || {
    echo "error: cargo has no copies of the crates in \`${CARGO_HOME:-$HOME/.cargo}/registry/src\`" >&2
    exit 1
}

cut -d ' ' -f 1 "$work/texts" | awk '!seen[$0]++' | while read -r sum; do
    echo
    echo "------------------------------------------------------------------------------"
    sed -n "s/^$sum //p" "$work/texts" | sort -u | paste -s -d ',' | sed 's/,/, /g' | fold -s -w 78
    echo
    cat "$work/$sum.text"
    echo
done
