#!/usr/bin/env bash
# Fate sharing without a supervisor: whoever loses a peer names it within 5 s, and leaves with 75 when the grace is over.
# Nobody hangs, nobody leaves without a sentence.
source "$(dirname "$0")/fleet.sh"
grace_s=6

# fleet NAME: a job of 2 ps and 2 workers by hand, that trains; its pids in scheduler, ps0, ps1, worker0, worker1.
fleet() {
    folder=$tmp/$1
    mkdir "$folder"
    local port
    port=$(free_port)
    address=tcp://127.0.0.1:$port
    "$rubato" scheduler --scheduler "$address" --ps 2 --workers 2 --grace "${grace_s}s" --run-dir "$folder" >"$folder/scheduler.log" 2>&1 &
    scheduler=$!
    for i in 0 1; do
        "$rubato" ps --scheduler "$address" --ps 2 --first-shard "$i" --grace "${grace_s}s" --run-dir "$folder" >"$folder/ps$i.log" 2>&1 &
        eval "ps$i=$!"
        "$rubato" worker "$run_file" --scheduler "$address" --epochs 1000 --grace "${grace_s}s" >"$folder/worker$i.log" 2>&1 &
        eval "worker$i=$!"
    done
    trains() { (($("$rubato" status --scheduler "$address" --json 2>/dev/null | total pushes) > 50)); }
    wait_until "$patience_s" trains || fail "nobody trains: $(cat "$folder"/*.log)"
}

named() { expect_named "$folder/$1.log" 0 "$2"; } # named MEMBER PATTERN

claim "a scheduler that is gone: shards and workers name it, and leave"
fleet scheduler
kill -9 "$scheduler"
named ps0 "waits for the scheduler at $address: silent for"
named ps1 "waits for the scheduler at $address: silent for"
named worker0 "waiting for the scheduler, silent for"
named worker1 "waiting for the scheduler, silent for"
for pid in "$ps0" "$ps1" "$worker0" "$worker1"; do
    expect_end "$pid" 75 $((grace_s + 10))
done
says "$folder/worker0.log" 'error worker [01]: .*no word from the scheduler, silent for [0-9.]+ s: given up' || fail "$(cat "$folder/worker0.log")"

claim "a shard that is gone: scheduler and workers name it, the job fails with its name"
fleet shard
kill -9 "$ps1"
named scheduler "waiting: shard 1 .* is silent for"
named worker0 "waiting for shard 1 at tcp://[^ ]*, silent for"
for pid in "$scheduler" "$ps0" "$worker0" "$worker1"; do
    case $pid in "$ps0") code=0 ;; *) code=75 ;; esac # the shard that is left is let go in order
    expect_end "$pid" "$code" $((grace_s + 15))
done
says "$folder/worker1.log" 'error worker [01]: .*the job has failed: shard 1 .* is silent for' || fail "$(cat "$folder/worker1.log")"

claim "all workers gone: the scheduler names them, waits the grace, and lets the shards go"
fleet workers
kill -9 "$worker0" "$worker1"
named scheduler "waiting: .*rank [01] .* is silent for"
expect_end "$scheduler" 75 $((grace_s + 25))
expect_end "$ps0" 0
expect_end "$ps1" 0
expect_nobody
