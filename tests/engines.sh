#!/bin/sh
# Tells dkr's whole story (create, update, start, push, list, over both transports) on engines of
# several ages, side by side on this machine, and prints a table.
#
#     sh tests/engines.sh [NAME...]
#
# The engines are those of Debian: `bookworm` (20.10), `trixie` (26.1), `sid` (the newest), and
# `sid-containerd`, which keeps its images in containerd. Their packages come from the archive that
# the machine's own apt sources name, and are kept in ~/.cache/dkr-engines. Each engine has its own
# folder, bridge and network; the machine's engine is left alone. Run it as root on Debian.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dkr-engines
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:$HOME/.cargo/bin
unset DOCKER_HOST DOCKER_CONTEXT

fail() {
    echo "error: $*" >&2
    exit 1
}

say() {
    echo "engines: $*" >&2
}

# shellcheck source-path=SCRIPTDIR source=../fixtures/apt-archive.sh
. "$here/../fixtures/apt-archive.sh"

# An apt of its own: lists and downloads in $cache, sources in $cache/sources.list.
own_apt() {
    program=$1
    shift
    "$program" -o Dir::Etc::sourcelist="$cache/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$cache/lists" -o Dir::Cache="$cache/apt" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# Lists what the releases have, at most once a day.
list_packages() {
    mkdir -p "$cache/lists/partial" "$cache/apt/archives/partial"
    # shellcheck source=/dev/null
    . /etc/os-release
    [ "$ID" = debian ] || fail "the engines are Debian's, and this machine's archive is that of $ID"
    # shellcheck disable=SC2046 # three words without spaces
    set -- $(archive "$VERSION_CODENAME")
    [ $# -eq 3 ] || fail "the apt sources of this machine have no archive for \`$VERSION_CODENAME\`"
    case $2 in
    /*) signed="[signed-by=$2] " ;;
    *) signed= ;;
    esac
    for release in bookworm trixie sid; do
        echo "deb $signed$1 $release main"
    done >"$cache/sources.new"
    if ! cmp -s "$cache/sources.new" "$cache/sources.list" ||
        [ -z "$(find "$cache/listed" -mtime -1 2>/dev/null)" ]; then
        mv "$cache/sources.new" "$cache/sources.list"
        say "listing Debian's packages"
        own_apt apt-get update >"$cache/apt.log" 2>&1 || fail "apt-get update failed (see $cache/apt.log)"
        : >"$cache/listed"
    fi
}

# Unpacks the engine of release $1 into $cache/$1, unless that version is there.
unpack() {
    versions=
    for package in docker.io containerd; do
        version=$(own_apt apt-cache madison "$package" | awk -F ' *[|] *' -v release="$1/main" \
            'index($3, " " release " ") { print $2; exit }')
        [ -n "$version" ] || fail "$1 has no package $package"
        versions="$versions $package=$version"
    done
    [ "$(cat "$cache/$1/versions" 2>/dev/null)" != "$versions" ] || return 0
    say "unpacking$versions"
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1/debs"
    # shellcheck disable=SC2086 # names of packages
    (cd "$cache/$1/debs" && own_apt apt-get download $versions) >"$cache/apt.log" 2>&1 ||
        fail "apt-get cannot download$versions (see $cache/apt.log)"
    for deb in "$cache/$1/debs"/*.deb; do
        dpkg-deb -x "$deb" "$cache/$1/root"
    done
    rm -r "$cache/$1/debs"
    echo "$versions" >"$cache/$1/versions"
}

# GET $2 of engine $1.
ask() {
    curl --silent --fail --max-time 5 --unix-socket "$work/$1/docker.sock" "http://localhost$2"
}

# run ENGINE RELEASE PROGRAM ARGUMENT...: starts a program of the release; $pid is its id.
run() {
    folder=$work/$1 program=$3
    path=$cache/$2/root/usr/sbin:$cache/$2/root/usr/bin:$PATH
    shift 3
    PATH=$path setsid "$program" "$@" >"$folder/$program.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$folder/$program.pid"
}

# Starts engine $1 of release $2 with the setting $3 of its own. It gets a bridge made here: one
# that is told to have none would remove docker0, which is another engine's.
start() {
    mkdir -p "$work/$1/data"
    bridge=dkre$$$(echo "$1" | cksum | cut -c 1-3)
    ip link add "$bridge" type bridge
    echo "$bridge" >"$work/$1/bridge"
    cat >"$work/$1/daemon.json" <<END
{
    "data-root": "$work/$1/data",
    "exec-root": "$work/$1/exec",
    "containerd": "$work/$1/containerd.sock",
    "pidfile": "$work/$1/pid",
    "hosts": ["unix://$work/$1/docker.sock"],
    "bridge": "$bridge",
    "iptables": false,
    "ip-forward": false,
    "ip-masq": false$3
}
END
    # Without one of its own an engine would take the system's containerd, of another age.
    cat >"$work/$1/containerd.toml" <<END
version = 2
root = "$work/$1/containerd"
state = "$work/$1/exec/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "$work/$1/containerd.sock"
END
    run "$1" "$2" containerd --config "$work/$1/containerd.toml"
    run "$1" "$2" dockerd --config-file "$work/$1/daemon.json"
    waited=0
    until ask "$1" /_ping >/dev/null; do
        waited=$((waited + 1))
        if [ "$waited" -gt 60 ] || ! kill -0 "$pid" 2>/dev/null; then
            tail -n 20 "$work/$1/containerd.log" "$work/$1/dockerd.log" >&2
            fail "the engine \`$1\` did not start"
        fi
        sleep 1
    done
}

# Ends the processes whose ids stand in the files given, and waits for them.
end() {
    for file in "$@"; do
        pid=$(cat "$file" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || continue
        waited=0
        while kill -0 "$pid" 2>/dev/null && [ "$waited" -lt 200 ]; do
            waited=$((waited + 1))
            sleep 0.1
        done
    done
}

stop_all() {
    for folder in "$work"/*/; do
        folder=${folder%/}
        end "$folder/dockerd.pid" "$folder/containerd.pid"
        awk -v folder="$folder/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
            while read -r mount; do umount --lazy "$mount"; done
        [ ! -e "$folder/bridge" ] || ip link delete "$(cat "$folder/bridge")" || :
    done
    rm -rf --one-file-system "$work"
}

# Tells the story on engine $1 and prints its line of the table.
tell() {
    began=$(date +%s)
    code=0
    (cd "$here/.." && DOCKER_HOST=unix://$work/$1/docker.sock \
        cargo test --locked --test main story:: -- --test-threads=1) >"$logs/$1.log" 2>&1 || code=$?
    version=$(ask "$1" /version | sed 's/.*"Version":"\([^"]*\)","ApiVersion":"\([^"]*\)".*/\1 \2/')
    driver=$(ask "$1" /info | grep -o '"Driver":"[^"]*"' | head -n 1 | cut -d '"' -f 4)
    passed=$(grep -c '^test .*story::.* ok$' "$logs/$1.log") || :
    told=$(grep -c '^test .*story::' "$logs/$1.log") || :
    result=ok
    [ "$code" -eq 0 ] && [ "$passed" -gt 0 ] || result="FAILED (see $logs/$1.log)"
    # shellcheck disable=SC2086 # two words
    printf '%-15s %-18s %-6s %-11s %-8s %-8s %s\n' "$1" $version "$driver" "$passed of $told" \
        "$(($(date +%s) - began)) s" "$result"
    [ "$result" = ok ]
}

[ "$(id -u)" -eq 0 ] || fail "run this as root"
[ $# -gt 0 ] || set -- bookworm trixie sid sid-containerd
list_packages
logs=$cache/logs
mkdir -p "$logs"
# A socket's path holds 108 bytes at most.
work=$(mktemp -d /tmp/dkr-engines-XXXXXX)
trap stop_all EXIT
trap 'exit 130' INT TERM HUP

for engine in "$@"; do
    case $engine in
    bookworm | trixie | sid) own= ;;
    sid-containerd) own=', "features": {"containerd-snapshotter": true}' ;;
    *) fail "there is no engine \`$engine\`: known are bookworm, trixie, sid and sid-containerd" ;;
    esac
    unpack "${engine%-containerd}"
    start "$engine" "${engine%-containerd}" "$own"
    DOCKER_HOST=unix://$work/$engine/docker.sock sh "$here/../fixtures/setup.sh" >&2
    say "\`$engine\` is up"
done

(cd "$here/.." && cargo test --locked --test main --no-run) >"$logs/build.log" 2>&1 ||
    fail "the tests do not build (see $logs/build.log)"
printf '%-15s %-18s %-6s %-11s %-8s %-8s %s\n' ENGINE VERSION API STORE STORIES TIME RESULT
code=0
for engine in "$@"; do
    tell "$engine" || code=1
done
[ "$code" -eq 0 ]
