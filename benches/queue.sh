#!/usr/bin/env bash
# The queue against its peers' with jobs that do nothing, in turn on the same machine: peers, pixmill, peers, pixmill, …
#
#   benches/queue.sh [systems=celery-prefork2,bullmq-c50] [jobs=20000] [runs=3]
#
# Needs the peers' folder (PEERS_DIR, default ../shared/peers) and what its `run-peer.sh setup` has made in PEERS_TMP; the
# systems are those that its queue/bench_queue.py knows. Every Redis runs without an append-only file, as the peers' does.
# Prints the medians of all runs in jobs a second. QUEUE_BENCH names a built benchmark instead of `cargo bench`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=${PEERS_DIR:-$root/../shared/peers}
python=${PEERS_TMP:-${TMPDIR:-/tmp}/peers}/venvA/bin/python
systems=${1:-celery-prefork2,bullmq-c50} jobs=${2:-20000} runs=${3:-3}

[ -e "$peers/queue/bench_queue.py" ] || { echo "no queue/bench_queue.py in $peers: set PEERS_DIR" >&2; exit 1; }
[ -x "$python" ] || { echo "no $python: run PHOTO=… $peers/run-peer.sh setup, or set PEERS_TMP" >&2; exit 1; }

pixmill() {
    if [ -n "${QUEUE_BENCH:-}" ]; then "$QUEUE_BENCH" "$@"; else (cd "$root" && cargo bench -q --bench queue -- "$@"); fi
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for _ in $(seq "$runs"); do
    for system in ${systems//,/ }; do
        "$python" "$peers/queue/bench_queue.py" "$system" "$jobs" 1 | tee -a "$log" >&2
    done
    pixmill throughput --jobs "$jobs" --runs 1 --no-aof --json | tee -a "$log" >&2
done

"$python" - "$log" <<'PYTHON'
import json, statistics, sys

runs = {}
names = {"enq_single": "enqueued one by one", "enq_batch": "enqueued in batches", "consume": "consumed"}
ours = {"enqueued one by one": "enqueued one by one", "enqueued 1,000 a group": "enqueued in batches"}
for line in map(json.loads, open(sys.argv[1])):
    if "system" in line:
        figures = {(line["system"], name): line.get(key) for key, name in names.items()}
    elif line["figure"].startswith("consumed, lanes"):
        figures = {(f"pixmill, {line['on']},{line['figure'].removeprefix('consumed,')}", "consumed"): line["median"]}
    else:
        figures = {(f"pixmill, {line['on']}", ours[line["figure"]]): line["median"]} if line["figure"] in ours else {}
    for key, figure in figures.items():
        if figure is not None:
            runs.setdefault(key, []).append(figure)
for name in names.values():
    print(f"\n{name}, jobs a second")
    for (system, figure), values in runs.items():
        if figure == name:
            print(f"  {system:32} {statistics.median(values):10,.0f}  ({min(values):,.0f}–{max(values):,.0f})")
PYTHON
