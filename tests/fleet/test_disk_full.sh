#!/usr/bin/env bash
# A full disk stops pushes and nothing else: who waits is named, and goes on when there is space; the wait has a deadline.
# A scheduler whose disk is full holds its breath for a grace, while the training goes on.
source "$(dirname "$0")/fleet.sh"

mounts=()
unmount_all() {
    local code=$?
    local left mount
    left=$(processes)
    [[ -z $left ]] || kill -9 $left 2>/dev/null || true # one pid per word
    wait 2>/dev/null || true
    for mount in "${mounts[@]}"; do umount "$mount" || true; done
    (exit "$code") && finish
    (exit "$code") || finish
}

if [[ $(id -u) != 0 ]] || ! { mkdir "$tmp/try" && mount -t tmpfs -o size=1m none "$tmp/try" && umount "$tmp/try"; } 2>/dev/null; then
    echo "skipped: a small file system of its own needs root and a mount namespace that allows it"
    exit 0
fi
trap unmount_all EXIT

# small_disk FOLDER SIZE
small_disk() {
    mkdir -p "$1"
    mount -t tmpfs -o "size=$2" none "$1"
    mounts+=("$1")
}
fill_up() { dd if=/dev/zero of="$1/ballast" bs=64k status=none 2>/dev/null || true; }

start_scheduler() {
    "$rubato" scheduler --scheduler "tcp://127.0.0.1:$(free_port)" --ps 1 --workers 1 "$@" >"$tmp/scheduler.log" 2>&1 &
    scheduler=$!
    wait_until "$patience_s" says "$tmp/scheduler.log" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler.log")"
    address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler.log")
}
start_ps() {
    "$rubato" ps --scheduler "$address" --ps 1 --segment-bytes 8M "$@" >>"$tmp/ps.log" 2>&1 &
    ps=$!
}
start_worker() {
    "$rubato" worker "$run_file" --scheduler "$address" --run-dir "$tmp" "$@" >"$tmp/worker.log" 2>&1 &
    worker=$!
}
job_status() { "$rubato" status --scheduler "$address" --json 2>/dev/null || true; }
pushes() { job_status | total pushes; }
has_pushed() { (($(pushes) >= $1)); }
waits_for_space() { job_status | grep -Eq '"reason":"[^"]*shard 0 \([^)]*\) has had no space on its disk for [0-9.]+ s'; }

claim "a shard without space is named within seconds by status and worker, and goes on when there is space"
small_disk "$tmp/disk" 96m
start_scheduler --run-dir "$tmp/job"
start_ps --store-dir "$tmp/disk/store"
start_worker --epochs 2
wait_until "$patience_s" has_pushed 300 || fail "no training: $(job_status) $(cat "$tmp"/*.log)"
fill_up "$tmp/disk"
wait_until "$patience_s" waits_for_space || fail "nobody names the full disk: $(job_status) $(cat "$tmp/ps.log")"
wait_until "$patience_s" says "$tmp/worker.log" 'shard 0 .*takes no pushes for now: its disk is full' || fail "the worker is silent: $(cat "$tmp/worker.log")"
before=$(pushes)
sleep 1
(($(pushes) == before)) || fail "pushes are taken without space: $before, then $(pushes)"
rm "$tmp/disk/ballast"
wait_until "$patience_s" has_pushed $((before + 100)) || fail "the training does not go on: $(job_status) $(cat "$tmp"/*.log)"
expect_end "$worker" 0
expect_end "$ps" 0
expect_end "$scheduler" 0
expect 0 'clean' "$rubato" fsck "$tmp/disk/store"
grep -Eq 'there is space again' "$tmp/ps.log" || fail "the ps does not say that there is space again: $(cat "$tmp/ps.log")"
expect_nobody
rm -rf "$tmp/job" "$tmp/disk/store" "$tmp"/*.log

claim "the wait has a deadline, and its sentence says why"
start_scheduler --run-dir "$tmp/job"
start_ps --store-dir "$tmp/disk/store"
start_worker --epochs 100 --request-timeout 4s
wait_until "$patience_s" has_pushed 300 || fail "no training: $(job_status) $(cat "$tmp"/*.log)"
fill_up "$tmp/disk"
expect_end "$worker" 75
grep -Eq 'its disk is full' "$tmp/worker.log" || fail "the worker does not say why: $(cat "$tmp/worker.log")"
rm "$tmp/disk/ballast"
kill "$ps" "$scheduler"
wait "$ps" "$scheduler" || true
expect_nobody
rm -rf "$tmp/job" "$tmp/disk/store" "$tmp"/*.log

claim "a ps that is to start on a full disk says so and leaves with 74"
fill_up "$tmp/disk"
expect 74 'shard 0 .*(No space left|no space)|No space left' "$rubato" ps --scheduler "tcp://127.0.0.1:$(free_port)" --ps 1 --store-dir "$tmp/disk/store" --join-timeout 5s
rm "$tmp/disk/ballast"

claim "a scheduler without space waits for some, while the training goes on"
small_disk "$tmp/little" 4m
start_scheduler --store-dir "$tmp/little/scheduler" --grace 30s
start_ps --store-dir "$tmp/disk/store"
start_worker --epochs 2
wait_until "$patience_s" has_pushed 300 || fail "no training: $(job_status) $(cat "$tmp"/*.log)"
fill_up "$tmp/little"
wait_until "$patience_s" says "$tmp/scheduler.log" 'no space|No space' || fail "the scheduler is silent: $(cat "$tmp/scheduler.log")"
rm "$tmp/little/ballast"
wait_until "$patience_s" says "$tmp/scheduler.log" 'there is space again' || fail "the scheduler does not go on: $(cat "$tmp/scheduler.log")"
expect_end "$worker" 0
expect_end "$ps" 0
expect_end "$scheduler" 0
expect_nobody
rm -rf "$tmp/disk/store" "$tmp/little/scheduler" "$tmp"/*.log

claim "a scheduler that gets no space leaves with 74, and another one takes up the job"
start_scheduler --store-dir "$tmp/little/scheduler" --grace 2s
start_ps --store-dir "$tmp/disk/store" --grace 60s
start_worker --epochs 2 --grace 60s
wait_until "$patience_s" has_pushed 300 || fail "no training: $(job_status) $(cat "$tmp"/*.log)"
fill_up "$tmp/little"
expect_end "$scheduler" 74
grep -Eq 'No space left' "$tmp/scheduler.log" || fail "the scheduler does not say why: $(cat "$tmp/scheduler.log")"
rm "$tmp/little/ballast"
"$rubato" scheduler --scheduler "$address" --ps 1 --workers 1 --store-dir "$tmp/little/scheduler" >"$tmp/second.log" 2>&1 &
scheduler=$!
expect_end "$worker" 0
expect_end "$ps" 0
expect_end "$scheduler" 0
grep -Eq 'generation 2' "$tmp/second.log" || fail "it is another job: $(cat "$tmp/second.log")"
expect_nobody
