# shellcheck shell=sh
# Common code of dkr's own build steps. Each of their scripts sources it first.

input=/run/dkr
workspace=/workspace
lib=/usr/local/lib/dkr
# A broken ref is ignored rather than fatal.
export GIT_TERMINAL_PROMPT=0 GIT_LFS_SKIP_SMUDGE=1 GIT_REF_PARANOIA=0 LC_ALL=C

fail() {
    echo "dkr: $*" >&2
    exit 1
}

warn() {
    echo "dkr: warning: $*" >&2
}

# How the host's repository is reached: $from here, $url in the image, $upload_pack, $any_commit,
# set_host_url and host_stream.
# shellcheck source=/dev/null
. "$input/reach.sh"

# git as dkr needs it, regardless of the image's configuration. Its URL rewriting may match the host's
# URL, too: the longest match wins.
git() {
    command git -c include.path="$input/gitconfig" -c "url.${from:?}.insteadOf=$from" "$@"
}

# The oldest version that is tested: that of Ubuntu 20.04.
check_git() {
    version=$(command git --version) || fail "the image's git does not run"
    number=${version#git version }
    major=${number%%.*} minor=${number#*.}
    minor=${minor%%[!0-9]*}
    case $major,$minor in
    *[!0-9,]* | ,* | *,) fail "cannot determine the version of the image's git: $version" ;;
    esac
    if [ "$major" -lt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -lt 25 ]; }; then
        fail "cannot use the image's git $number: 2.25 or newer is needed"
    fi
}

# Makes git accept /workspace whoever owns it, because [post_clone] may change its owner. git reads that
# setting only from the files of the system and of the user.
trust_workspace() {
    trusted="
$(git config --get-all safe.directory || :)
"
    for folder in "$workspace" "$workspace/.git" "$workspace/*"; do
        case $trusted in *"
$folder
"*) continue ;; esac
        git config --system --add safe.directory "$folder" 2>/dev/null ||
            git config --global --add safe.directory "$folder"
    done
}

# Makes git in a container use the URL of the host unchanged.
keep_host_url() {
    ! command git config --get-regexp '^url\..*\.(push)?insteadof$' >/dev/null || {
        git config "url.${url:?}.insteadOf" "$url"
        git config "url.$url.pushInsteadOf" "$url"
    }
}

# Removes and reports locks of git processes that were killed: none is running now.
remove_stale_locks() {
    {
        ls -d .git/*.lock
        find .git/refs .git/objects/info .git/objects/pack .git/reftable .git/worktrees .git/modules \
            -name '*.lock' -type f
    } 2>/dev/null | while IFS= read -r lock; do
        rm -f "$lock"
        warn "[post_clone] left the lock $lock: removing it"
    done
}

# An older dkr copied invalid ref names from the host, and git fails on them. The line with a tag's
# peeled id is removed with it.
drop_broken_refs() {
    bad='^[0-9a-f]* [^ ]*[ ~^:?*[\]'
    if grep -q "$bad" .git/packed-refs 2>/dev/null; then
        sed -n -e ':a' -e "/$bad/{" -e n -e '/^^/n' -e 'ba' -e '}' -e p .git/packed-refs >.git/packed-refs.new
        mv .git/packed-refs.new .git/packed-refs
    fi
}

# Installs the files that a container needs to start; unchanged ones are kept. Prints the names of the
# others.
install_runtime() (
    mkdir -p "$lib"
    there="
$({ cd "$lib" && cksum ./*; } 2>/dev/null || :)"
    cd /run/dkr-runtime/lib || exit
    cksum ./* | while read -r sum size file; do
        case $there in
        *"
$sum $size $file"*) [ -x "$lib/$file" ] || [ ! -x "$file" ] && continue ;;
        esac
        rm -rf "${lib:?}/$file"
        cp "$file" "$lib/$file"
        echo "$lib/${file#./}"
    done
)

# fetch OPTION... URL REFSPEC...: fetches just that. A shallow repository must send where its history
# ends. Checking for changed submodules could walk the whole history, and none of them is here.
fetch() {
    git fetch --progress --no-auto-gc --no-recurse-submodules --update-shallow \
        --upload-pack="${upload_pack:?}" "$@"
}

# Fetches one commit if it is not there yet: no ref reaches it any more, or none ever did.
fetch_commit() {
    git cat-file -e "$1^{commit}" 2>/dev/null ||
        fetch --no-tags --upload-pack="${any_commit:?}" "$from" "$1" ||
        fail "commit $1 vanished from the host's repository"
}

check_git
