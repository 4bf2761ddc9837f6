# shellcheck shell=sh
# Read by a step of the build in the environment that a container of the image starts with: the
# programs that dkr needs must be on PATH, which the base image or a raw section may have set.

for tool in git cat chmod cksum comm cp cut date find grep head ls mkdir mktemp mv rm sed sleep sort stat tr \
    uniq wc xargs; do
    command -v "$tool" >/dev/null || {
        echo "dkr: the image has no \`$tool\` on PATH ($PATH), so no container could start" >&2
        exit 1
    }
done
for tool in tmux socat; do
    command -v "$tool" >/dev/null ||
        echo "dkr: warning: the image has no \`$tool\` on PATH ($PATH)" >&2
done
