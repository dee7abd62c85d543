#!/usr/bin/env bash
# Who gives up first: a scheduler on a full disk waits for a grace and says so, and a worker's grace, of the same length,
# begins when the scheduler's has ended. So whoever starts another scheduler at once finds the job whole.
source "$(dirname "$0")/fleet.sh"

grace=4s
disk=$tmp/disk
unmount() {
    local code=$?
    local left
    left=$(processes)
    [[ -z $left ]] || kill -9 $left 2>/dev/null || true # one pid per word
    wait 2>/dev/null || true
    umount "$disk" 2>/dev/null || true
    (exit "$code") && finish
    (exit "$code") || finish
}
mkdir "$disk"
if [[ $(id -u) != 0 ]] || ! mount -t tmpfs -o size=4m none "$disk" 2>/dev/null; then
    echo "skipped: a small file system of its own needs root and a mount namespace that allows it"
    exit 0
fi
trap unmount EXIT

address=tcp://127.0.0.1:$(free_port)
start_scheduler() { # start_scheduler LOG
    "$rubato" scheduler --scheduler "$address" --ps 1 --workers 1 --store-dir "$disk/scheduler" --grace "$grace" >"$1" 2>&1 &
    scheduler=$!
}
pushes() { { "$rubato" status --scheduler "$address" --json 2>/dev/null || true; } | total pushes; }
has_pushed() { (($(pushes) >= $1)); }

start_scheduler "$tmp/scheduler.log"
"$rubato" ps --scheduler "$address" --ps 1 --store-dir "$tmp/store" --grace 60s >"$tmp/ps.log" 2>&1 &
ps=$!
"$rubato" worker "$run_file" --scheduler "$address" --run-dir "$tmp" --epochs 6 --grace "$grace" >"$tmp/worker.log" 2>&1 &
worker=$!
wait_until "$patience_s" has_pushed 300 || fail "no training: $(cat "$tmp"/*.log)"

claim "a worker whose grace is the scheduler's outlives it, names what it waits for, and goes on with the next"
dd if=/dev/zero of="$disk/ballast" bs=64k status=none 2>/dev/null || true
expect_end "$scheduler" 74
says "$tmp/scheduler.log" 'trying again for 4.0 s' || fail "the scheduler does not say that it waits: $(cat "$tmp/scheduler.log")"
has_ended "$worker" && fail "the worker gave up with the scheduler: $(cat "$tmp/worker.log")"
says "$tmp/worker.log" 'waiting for the scheduler: its disk is full' || fail "the worker does not name the disk: $(cat "$tmp/worker.log")"
rm "$disk/ballast"
start_scheduler "$tmp/second.log"
expect_end "$worker" 0
expect_end "$ps" 0
expect_end "$scheduler" 0
says "$tmp/second.log" 'generation 2' || fail "it is another job: $(cat "$tmp/second.log")"
expect_nobody
