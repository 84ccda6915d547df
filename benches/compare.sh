#!/usr/bin/env bash
# The whole service against its peers, in turn on the same machine: A B pixmill, A B pixmill, …
#
#   PHOTO=…/2569067123_aca715a2ee_o.jpg benches/compare.sh [set=p6] [number=100] [per-request=10] [concurrency=2] [runs=3]
#
# Needs what ../shared/peers/README.md names, and a release build (cargo build --release). Prints one JSON
# line a run, as drive.py makes it. pixmill runs twice: on SQLite in one process, and on Redis with a worker
# process of its own. PEERS="a b" chooses the peers, OURS="sqlite redis" the ways of running pixmill.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=${PEERS_DIR:-$root/../shared/peers}
binary=${PIXMILL:-${CARGO_TARGET_DIR:-$root/target}/release/pixmill}
set=${1:-p6} number=${2:-100} per=${3:-10} concurrency=${4:-2} runs=${5:-3}
port=${PIXMILL_PORT:-8394} redis_port=${PIXMILL_REDIS_PORT:-6394}

"$peers/run-peer.sh" setup
. "$peers/lib.sh"
trap stop_all EXIT

ready() { for _ in $(seq 200); do curl -sf -o /dev/null "http://127.0.0.1:$port/readyz" && return; sleep 0.05; done; return 1; }

pixmill() {
    local how=$1 data="$W/pixmill-$1"
    rm -rf "$data"
    local roots="" redis=()
    if [ "$how" = redis ]; then
        RPORT=$redis_port start_redis --appendonly no
        roots="$REDIS_PID," redis=(--redis "redis://127.0.0.1:$redis_port/0")
        "$binary" worker "${redis[@]}" --data-dir "$data" 2>"$W/pixmill-worker.log" & PIDS+=($!); roots+="$!,"
        redis+=(--no-workers)
    fi
    "$binary" serve --listen "127.0.0.1:$port" --data-dir "$data" "${redis[@]}" >"$W/pixmill.log" 2>&1 & PIDS+=($!); roots+=$!
    ready
    drive "http://127.0.0.1:$port" "$W/sets/$set" --number 4 --per-request 2 >/dev/null
    drive "http://127.0.0.1:$port" "$W/sets/$set" --number "$number" --per-request "$per" --concurrency "$concurrency" \
        --operations equal --pids "$roots" --label "pixmill $how $set"
    stop_all
}

for _ in $(seq "$runs"); do
    for peer in ${PEERS-a b}; do
        # Its exit status is only that of its own clean-up.
        CONC=${CONC:-4} "$peers/run-peer.sh" "$peer" "$set" "$number" "$per" "$concurrency" 1 || true
    done
    for how in ${OURS-sqlite redis}; do
        wait_quiet || true
        pixmill "$how"
    done
done
