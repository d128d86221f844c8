#!/usr/bin/env bash
# Two NFS clients and a server, each a kernel of its own (user-mode Linux), work on one pool while
# workers, and then one of the clients, are killed; the result goes to results/nfs.md.
#
#   tests/faults/nfs/run.sh [SECONDS of kills, 90]
#
# Debian: apt-get install user-mode-linux uml-utilities nfs-kernel-server nfs-common kmod
# Run as root, in an environment with poolrl. Only a temporary folder and the result are written; the
# guests mount this machine's files read-only.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
export OUT KILLS=${1:-90}
OUT=$(mktemp -d)
MEMORY=$(mktemp -d -p /dev/shm)
cleanup() {
    for pid in "${GUESTS[@]}"; do kill -KILL -- "-$pid" 2> /dev/null || true; done
    [ -n "${KEEP:-}" ] || rm -rf "$OUT"
    rm -rf "$MEMORY"
}
GUESTS=()
started() {  # remember the last background process, without a message when it is killed
    GUESTS+=($!)
    disown
}
trap cleanup EXIT
set -m  # every guest is a process group
mkdir "$OUT"/{server,client1,client2,uml}
PYTHON=$(command -v python)
export PYTHONPATH=${PYTHONPATH:-$(cd "$HERE/../../.." && pwd)}
echo "PYTHON=$PYTHON PYTHONPATH=$PYTHONPATH PATH=$PATH KILLS=$KILLS" > "$OUT/environment"

truncate -s 256M "$OUT/disk"
mkfs.ext4 -q -F "$OUT/disk"
uml_switch -unix "$OUT/switch" < /dev/zero > /dev/null 2>&1 &
started

boot() {  # boot ROLE NUMBER MEMORY [ARGUMENTS]
    local role=$1 number=$2 memory=$3
    shift 3
    TMPDIR="$MEMORY" linux.uml mem="$memory" con=null con0=null,fd:1 \
        root=/dev/root rootfstype=hostfs rootflags=/ ro \
        eth0="daemon,02:00:00:00:00:0$number,unix,$OUT/switch" uml_dir="$OUT/uml" umid="$role" \
        init="$HERE/guest.sh" role="$role" number="$number" out="$OUT" quiet "$@" \
        < /dev/null > "$OUT/$role/console" 2>&1 &
    started
}
boot server 1 256M ubd0="$OUT/disk"
boot client1 2 640M
boot client2 3 640M
CLIENT2=${GUESTS[-1]}

wait_for() {  # wait_for FILE SECONDS
    for _ in $(seq $(($2 * 5))); do
        [ -e "$OUT/$1" ] && return
        sleep 0.2
    done
    echo "no $1 after $2 s" >&2
    tail -n 30 "$OUT"/*/console >&2
    exit 1
}
wait_for client1/kill-me 600
# The guest of client 2 is killed during a unit; its leases are never removed.
wait_for client2/working 60
kill -KILL -- "-$CLIENT2"
touch "$OUT/client2/dead"
wait_for client1/done 600
python -m tests.faults.nfs.report "$OUT"
