#!/bin/sh
# Makes what a release of dkr consists of, for the architecture of this machine: the program, a Debian package,
# and their checksums.
#
#     sh dist/build.sh [--output FOLDER] [--binary PROGRAM] [--compression TYPE] [--allow-dirty]
#
# The program is statically linked with musl. Where Rust's standard library or a C compiler for musl is missing,
# it says which, and links it dynamically.
#
#   --output FOLDER      where the files go (target/dist); it is made if it is missing
#   --binary PROGRAM     package this dkr instead of building one
#   --compression TYPE   how dpkg-deb compresses: xz (the default), gzip, zstd or none
#   --allow-dirty        build also if the work tree differs from the commit
#
# The same commit gives the same package. Its files have the time of the commit, or $SOURCE_DATE_EPOCH, which has
# to be set outside of a git checkout. $DEBFULLNAME and $DEBEMAIL name its maintainer.
set -eu

call=$PWD
cd "$(dirname "$0")/.."
root=$PWD
PATH=$PATH:$HOME/.cargo/bin
export LC_ALL=C
umask 022

say() {
    echo "dist: $*"
}

fail() {
    echo "error: $*" >&2
    exit 1
}

# A path as it was when the script was called.
absolute() {
    case $1 in
    /*) echo "$1" ;;
    *) echo "$call/$1" ;;
    esac
}

output=${CARGO_TARGET_DIR:-$root/target}/dist
binary=
compression=xz
allow_dirty=
while [ $# -gt 0 ]; do
    case $1 in
    --output | --binary | --compression)
        [ $# -ge 2 ] || fail "\`$1\` needs a value"
        case $1 in
        --output) output=$(absolute "$2") ;;
        --binary) binary=$(absolute "$2") ;;
        --compression) compression=$2 ;;
        esac
        shift 2
        ;;
    --allow-dirty)
        allow_dirty=yes
        shift
        ;;
    *) fail "unknown argument \`$1\`" ;;
    esac
done

for program in cargo rustc dpkg-deb gzip readelf sha256sum strip; do
    command -v "$program" >/dev/null || fail "\`$program\` is missing"
done

# The commit, and the time that all files get.
commit=
if [ -e .git ]; then
    commit=$(git rev-parse --verify HEAD)
    dirty=$(git status --porcelain)
    if [ -n "$dirty" ] && [ -z "$allow_dirty" ]; then
        echo "$dirty" >&2
        fail "the work tree differs from the commit (use \`--allow-dirty\` to build all the same)"
    fi
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c log.showSignature=false log -1 --format=%ct)}
fi
[ -n "${SOURCE_DATE_EPOCH-}" ] || fail "this is no git checkout: set SOURCE_DATE_EPOCH"
export SOURCE_DATE_EPOCH

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || fail "Cargo.toml has no version"
architecture=$(dpkg --print-architecture)

# Why nothing can be built for $target; nothing if it can.
missing_for_musl() {
    case $target in
    *-musl*) ;;
    *)
        echo "Rust's host \`$target\` has no counterpart with musl"
        return
        ;;
    esac
    compiler=CC_$(echo "$target" | tr - _)
    if ! command -v "${target%%-*}-linux-musl-gcc" >/dev/null && ! command -v musl-gcc >/dev/null &&
        [ -z "$(printenv "$compiler")" ]; then
        echo "there is no C compiler for musl (the package \`musl-tools\` of Debian), and \`$compiler\` is not set"
        return
    fi
    if ! has_std && ! { command -v rustup >/dev/null && rustup target add "$target" >&2 && has_std; }; then
        echo "Rust's standard library for \`$target\` is not installed (\`rustup target add $target\`)"
    fi
}

has_std() {
    folder=$(rustc --print target-libdir --target "$target" 2>/dev/null) &&
        [ -n "$(find "$folder" -name 'libstd-*.rlib' 2>/dev/null)" ]
}

host=$(rustc -vV | sed -n 's/^host: //p')
if [ -z "$binary" ]; then
    target=$(echo "$host" | sed 's/-gnu/-musl/')
    missing=$(missing_for_musl)
    if [ -n "$missing" ]; then
        say "linking dynamically: $missing"
        target=$host
    fi
    say "building for $target"
    # No paths of this machine in the program.
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    sysroot=$(rustc --print sysroot)
    RUSTFLAGS="${RUSTFLAGS-} --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$root=/dkr" \
        CFLAGS="${CFLAGS-} -ffile-prefix-map=$cargo_home=/cargo" \
        cargo build --release --locked --package dkr --bin dkr --target "$target"
    binary=${CARGO_TARGET_DIR:-$root/target}/$target/release/dkr
    ! grep -qF -e "$cargo_home" -e "$root" -e "$sysroot" "$binary" ||
        say "warning: the program holds paths of this machine"
else
    target=$host
fi
case "$("$binary" --version)" in
"dkr $version" | "dkr $version "*) ;;
*) fail "\`$binary\` is not dkr $version" ;;
esac

# The packages that the program needs for what it is linked with dynamically; none if it is static.
libraries() {
    needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
    for library in $needed; do
        case $library in
        libc.so.6 | libm.so.6 | ld-linux*)
            glibc=$(readelf -V "$program" | grep -o 'GLIBC_2\.[0-9]*' | sort -t . -k 2n | tail -n 1)
            echo "libc6 (>= ${glibc#GLIBC_})"
            ;;
        libgcc_s.so.1) echo "libgcc-s1" ;;
        libz.so.1) echo "zlib1g" ;;
        *) fail "no package is known for \`$library\`, which the program is linked with" ;;
        esac
    done
}

mkdir -p "$output"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tree=$work/tree
docs=$tree/usr/share/doc/dkr

# put FILE PATH: a file of the package.
put() {
    mkdir -p "$(dirname "$tree/$2")"
    cp "$1" "$tree/$2"
}

put "$binary" usr/bin/dkr
program=$tree/usr/bin/dkr
strip --strip-all "$program"
linked=$(libraries)
depends=$(echo "$linked" | sort -u | sed '/^$/d' | paste -s -d , | sed 's/,/, /g')
[ -z "$depends" ] || depends="$depends, "

put assets/completion.bash usr/share/bash-completion/completions/dkr
put assets/completion.zsh usr/share/zsh/vendor-completions/_dkr
put assets/completion.fish usr/share/fish/vendor_completions.d/dkr.fish
"$program" man "$tree/usr/share/man/man1"
put README.md usr/share/doc/dkr/README.md
put CHANGELOG.md usr/share/doc/dkr/CHANGELOG.md
put assets/template.dkr.conf usr/share/doc/dkr/examples/dkr.conf
sh dist/notices.sh "$target" >"$docs/third-party-licenses"

maintainer="${DEBFULLNAME:-the dkr authors} <${DEBEMAIL:-dkr@packages.invalid}>"
date=$(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
cat >"$docs/changelog" <<END
dkr ($version) unstable; urgency=medium

  * Version $version: see CHANGELOG.md in this folder.

 -- $maintainer  $date
END

# The licence as a field: lines begin with a blank, and a dot stands for an empty one.
as_field() {
    sed 's/^/ /; s/^ $/ ./'
}
{
    cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: dkr
Source: dkr's git repository${commit:+, commit $commit}
Comment:
 The program is linked with crates under licences of their own, all of which
 allow this: see third-party-licenses.gz in this folder.

Files: *
END
    sed -n 's/^Copyright (c) /Copyright: /p' LICENSE
    echo "License: Expat"
    sed '1,/^Copyright/d' LICENSE | sed 1d | as_field
} >"$docs/copyright"
if [ -z "$linked" ]; then
    # A static program at any address looks like a library.
    mkdir -p "$tree/usr/share/lintian/overrides"
    echo "dkr: shared-library-lacks-prerequisites [usr/bin/dkr]" >"$tree/usr/share/lintian/overrides/dkr"
fi

gzip -9n "$tree"/usr/share/man/man1/*.1 "$docs/changelog" "$docs/CHANGELOG.md" "$docs/third-party-licenses"

mkdir "$tree/DEBIAN"
(cd "$tree" && find usr -type f | sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
# In units of 1024 bytes, a folder as one, on any file system.
size=$(find "$tree/usr" -type f -size +0 -printf '%s\n' -o -type d -printf '1\n' |
    awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
cat >"$tree/DEBIAN/control" <<END
Package: dkr
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: ${depends}git (>= 1:2.31), openssh-client (>= 1:8.4)
Recommends: docker.io (>= 20.10) | docker-ce (>= 5:20.10) | moby-engine (>= 20.10)
Section: devel
Priority: optional
Description: bakes huge git repositories into Docker images
 dkr bakes a huge git repository, its whole history and its toolchain into a
 Docker image once. Later commits arrive as one thin layer, and a container on
 a branch of its own starts about as fast as with docker run.
 .
 It needs a Docker Engine (20.10 or newer), on this machine or elsewhere, and no
 docker client.
END

chmod -R u=rwX,go=rX "$tree"
chmod 755 "$program"
find "$tree" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

name=dkr-$version-linux-$architecture
package=dkr_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z$compression" --build "$tree" "$work/$package" >/dev/null
cp "$program" "$work/$name"
(cd "$work" && sha256sum "$name" "$package") >"$work/SHA256SUMS"
mv "$work/$name" "$work/$package" "$work/SHA256SUMS" "$output"
if [ -n "$linked" ]; then
    how="linked dynamically with glibc"
else
    how="statically linked"
fi
say "the program is $how, $(stat -c %s "$output/$name") bytes"
say "made $name, $package and SHA256SUMS in $output"
