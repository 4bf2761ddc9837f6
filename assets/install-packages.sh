#!/bin/sh
# Installs packages while an image is built: sh install-packages.sh NAME...
#
# The image's own package manager is found at run time. Names are those of that manager;
# `openssh-client` and `openssh-clients` both mean the SSH client, under any name.
# Only missing packages are requested: if there are none, the network is not used.

set -eu

find_manager() {
    for candidate in apt-get dnf yum apk pacman zypper; do
        if command -v "$candidate" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

# The name of package $1 for the manager at hand.
native_name() {
    case $1 in
        openssh-client | openssh-clients)
            case $manager in
                apt-get | apk) echo openssh-client ;;
                pacman) echo openssh ;;
                *) echo openssh-clients ;;
            esac
            ;;
        *) echo "$1" ;;
    esac
}

# Whether the package manager's database has package $1.
is_installed() {
    case $manager in
        apt-get)
            # A name may carry a version: name=version.
            found=$(dpkg-query -W -f='${Status} ${Version} \n' "${1%%=*}" 2>/dev/null) || return 1
            case $1 in
                *=*) wanted="${1#*=} " ;;
                *) wanted= ;;
            esac
            case $found in
                *" ok installed $wanted"*) ;;
                *) return 1 ;;
            esac
            ;;
        dnf | yum | zypper) rpm -q "$1" >/dev/null 2>&1 || rpm -q --whatprovides "$1" >/dev/null 2>&1 ;;
        apk) apk info -e "$1" >/dev/null 2>&1 ;;
        # Unlike -Q, -T knows what a package provides and compares versions.
        pacman) pacman -T "$1" >/dev/null 2>&1 ;;
        *) return 1 ;;
    esac
}

# Whether package $1 need not be installed. Of the tools that dkr itself needs, only the
# command must exist: it may have been installed in another way.
is_present() {
    case $1 in
        git | tmux | socat) command -v "$1" >/dev/null 2>&1 && return 0 ;;
        openssh-client | openssh-clients) command -v ssh >/dev/null 2>&1 && return 0 ;;
    esac
    is_installed "$(native_name "$1")"
}

install_with_apt() {
    export DEBIAN_FRONTEND=noninteractive
    lists=/var/lib/apt/lists/
    if command -v apt-config >/dev/null 2>&1; then
        eval "$(apt-config shell lists Dir::State::lists/d)"
    fi
    had_lists=no
    for list in "$lists"/*_*; do
        if [ -e "$list" ]; then
            had_lists=yes
            break
        fi
    done
    apt-get update
    apt-get install -y --no-install-recommends "$@"
    apt-get clean
    if [ "$had_lists" = no ]; then
        rm -rf "${lists:?}"/*
    fi
}

install_with_pacman() {
    databases=/var/lib/pacman/sync
    had_databases=no
    if [ -e "$databases/core.db" ]; then
        had_databases=yes
    fi
    # Arch Linux does not support an installation without a full upgrade.
    pacman -Syu --noconfirm --needed "$@"
    rm -rf /var/cache/pacman/pkg/*
    if [ "$had_databases" = no ]; then
        rm -rf "$databases"
    fi
}

install_with_zypper() {
    status=0
    zypper --non-interactive install --no-recommends "$@" || status=$?
    # 102 and 103: installed, but the system or zypper should be restarted.
    case $status in
        0 | 102 | 103) ;;
        *) exit "$status" ;;
    esac
    zypper --non-interactive clean --all
}

manager=$(find_manager)

for name in "$@"; do
    shift
    case $name in
        '' | -*)
            echo "dkr: invalid package name '$name'" >&2
            exit 1
            ;;
    esac
    is_present "$name" || set -- "$@" "$(native_name "$name")"
done
if [ $# -eq 0 ]; then
    exit 0
fi

# Nothing here reads from stdin.
exec </dev/null

case $manager in
    apt-get) install_with_apt "$@" ;;
    dnf)
        dnf install -y --setopt=install_weak_deps=False "$@"
        dnf clean all
        ;;
    yum)
        # By itself yum succeeds when only some of the packages exist.
        yum install -y --setopt=skip_missing_names_on_install=False "$@"
        yum clean all
        ;;
    apk) apk add --no-cache "$@" ;;
    pacman) install_with_pacman "$@" ;;
    zypper) install_with_zypper "$@" ;;
    *)
        echo "dkr: no package manager found (looked for apt-get, dnf, yum, apk, pacman, zypper)" >&2
        echo "dkr: cannot install $*" >&2
        exit 1
        ;;
esac
