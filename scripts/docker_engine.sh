#!/usr/bin/env bash
# Gives tests a Docker engine of their own where none answers: `docker_engine.sh start`, then `docker_engine.sh stop`.
#
# `start` prints the DOCKER_HOST to use and nothing else on stdout. An engine that answers already is used as it is, and
# `stop` leaves it alone. Otherwise, as root on Debian or a child of it, docker.io is installed if need be and dockerd
# is started with everything of its own in $SWEGYM_ENGINE (default /tmp/swegym-engine): no packet filter, and a bridge
# only where the kernel gives one (SWE-ReX reaches its containers over it; swegym's own have no network), so it runs
# inside most containers and virtual machines as well.
# Both may be said again at any time.
set -euo pipefail
folder=${SWEGYM_ENGINE:-/tmp/swegym-engine}
own=unix://$folder/docker.sock

answers() { # does an engine answer at this socket?
    python3 - "$1" <<'PYTHON'
import http.client, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.settimeout(5)
try:
    channel.connect(sys.argv[1].removeprefix("unix://"))
    connection = http.client.HTTPConnection("engine")
    connection.sock = channel
    connection.request("GET", "/_ping")
    sys.exit(connection.getresponse().status != 200)
except OSError:
    sys.exit(1)
PYTHON
}

start_with() { # start dockerd with this storage driver and bridge; fails when it does not answer within 30 seconds
    mkdir -p "$folder"
    dockerd --host "$own" --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
        --storage-driver "$1" "$2" --iptables=false --ip6tables=false --ip-forward=false \
        </dev/null >>"$folder/log" 2>&1 3>&- 4>&- 9>&- &
    for _ in $(seq 150); do
        if answers "$own"; then return 0; fi
        if ! kill -0 $! 2>/dev/null; then return 1; fi
        sleep 0.2
    done
    return 1
}

stop() {
    if [ -f "$folder/pid" ]; then
        pid=$(cat "$folder/pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    fi
    if [ -f "$folder/bridge" ]; then ip link delete docker0 2>/dev/null || true; fi
    if [ -d "$folder" ]; then
        awk -v folder="$folder/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r umount -l
        rm -rf "$folder"
    fi
}

case ${1:-} in
start)
    for host in ${DOCKER_HOST:-} unix:///var/run/docker.sock "$own"; do
        if answers "$host"; then
            echo "$host"
            exit 0
        fi
    done
    if [ "$(id -u)" != 0 ]; then
        echo "no container engine answers, and only root can start one: start Docker, or set DOCKER_HOST." >&2
        exit 1
    fi
    until [ "$folder.lock" -ef /dev/fd/9 ]; do # whom we waited for has removed what we then hold
        exec 9>"$folder.lock"
        flock -w 300 9
    done
    trap 'rm -f "$folder.lock"' EXIT
    if answers "$own"; then
        echo "$own"
        exit 0
    fi
    if ! command -v dockerd >/dev/null; then
        if ! command -v apt-get >/dev/null; then
            echo "dockerd is not installed, and there is no apt-get to install it: install Docker." >&2
            exit 1
        fi
        export DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get update >&2
        timeout 300 apt-get install -y --no-install-recommends docker.io iptables >&2
    fi
    for driver in overlay2 vfs; do # overlay2 does not lie on overlayfs, as in a container; vfs lies on anything
        for bridge in --bip=172.31.255.1/24 --bridge=none; do
            if [ "$bridge" != --bridge=none ]; then
                if [ -e /sys/class/net/docker0 ]; then continue; fi # another engine's
                mkdir -p "$folder"
                touch "$folder/bridge"
            fi
            if start_with "$driver" "$bridge"; then
                echo "$own"
                exit 0
            fi
            tail -n 5 "$folder/log" >&2
            stop
        done
    done
    echo "dockerd does not start here; its last words are above." >&2
    exit 1
    ;;
stop)
    stop
    ;;
*)
    echo "usage: $0 start | stop" >&2
    exit 2
    ;;
esac
