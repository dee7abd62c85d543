#!/usr/bin/env bash
# A shard's host loses power: what was acknowledged and not on the platter is gone. It is reported, and the training goes
# on; when the workers keep what is not on the platter, nothing is lost. The power loss is made: the ps is killed, and
# its journal is cut back to the last point that is surely on the platter: what the ps said was synced, or its store's
# redo point. The workers stand still meanwhile, so that both are true when the power goes.
source "$(dirname "$0")/fleet.sh"

# start_job DIR WORKER_FLAGS...: scheduler, a ps and two workers by hand; sets scheduler, ps, workers, address.
start_job() {
    local job=$1
    shift
    # Nobody dies here but the ps: however long the workers stand still, their leases must not run out.
    "$rubato" scheduler --scheduler "tcp://127.0.0.1:$(free_port)" --ps 1 --workers 2 --lease 60s --run-dir "$job" >"$job.scheduler" 2>&1 &
    scheduler=$!
    wait_until "$patience_s" says "$job.scheduler" '^scheduler at' || fail "no scheduler: $(cat "$job.scheduler")"
    address=$(sed -n 's/^scheduler at //p' "$job.scheduler")
    port=$(free_port)
    start_ps "$job"
    workers=()
    for rank in 0 1; do
        "$rubato" worker "$run_file" --scheduler "$address" --rank "$rank" --run-dir "$job" "$@" >"$job.worker-$rank" 2>&1 &
        workers+=($!)
    done
}

start_ps() {
    "$rubato" ps --scheduler "$address" --ps 1 --port "$port" --run-dir "$1" --checkpoint-interval 20s >>"$1.ps" 2>&1 &
    ps=$!
}

job_status() { "$rubato" status --scheduler "$address" --json 2>/dev/null || true; }
has_pushed() { (($(job_status | total pushes) >= $1)); }

# lose_power DIR: sets cut to the number of records that went.
lose_power() {
    local redo synced last now
    # A moment at which much is not on the platter yet: more than the SYNC record that stands behind every sync, and more
    # than the workers had under way when they were stopped, which nobody had acknowledged.
    for _ in {1..12}; do
        kill -STOP "${workers[@]}"
        sleep 1.5 # until a report holds what is synced now
        now=$(job_status)
        synced=$(value synced_lsn <<<"$now")
        last=$(value lsn <<<"$now")
        ((last < synced + 100)) || break
        kill -CONT "${workers[@]}"
        sleep 0.3
    done
    kill -9 "$ps"
    wait "$ps" 2>/dev/null || true
    expect 0 'clean' "$rubato" fsck "$1/ps-0"
    "$rubato" fsck "$1/ps-0" --json >"$tmp/fsck.json"
    redo=$(value redo_lsn <"$tmp/fsck.json")
    # lsns are incarnation * 2^40 + number
    if ((synced > (${redo%:*} << 40 | ${redo#*:}))); then
        redo=$((synced >> 40)):$((synced & ((1 << 40) - 1)))
    fi
    cut=$("$build/tests/cut-journal" "$1/ps-0/shard-0/journal" "$redo")
    rm -f "$1/ps-0/shard-0/journal/tail" # never synced: the power takes that note, too
    ((cut > 0)) || fail "nothing behind $redo was to be cut: $(cat "$tmp/fsck.json")"
    expect 0 'clean' "$rubato" fsck "$1/ps-0"
    start_ps "$1"
    kill -CONT "${workers[@]}"
}

claim "what was acknowledged and is lost is reported to all, and the training goes on"
job=$tmp/lossy
start_job "$job" --epochs 3
wait_until "$patience_s" has_pushed 1000 || fail "no training: $(job_status) $(cat "$job".*)"
lose_power "$job"
for pid in "${workers[@]}" "$ps"; do
    expect_end "$pid" 0
done
status_now=$(job_status)
lost=$(value lost_records <<<"$status_now")
((lost > 0)) || fail "no losses in $status_now"
((lost <= cut)) || fail "$lost records are said to be lost, only $cut were cut"
"$rubato" status --scheduler "$address" >"$tmp/said" 2>/dev/null || true
grep -q "$lost acknowledged records were lost with the power" "$tmp/said" || fail "status is silent: $(cat "$tmp/said")"
expect_end "$scheduler" 0
grep -Eq 'shard 0 .* has lost [0-9]+ acknowledged records with the power' "$job.scheduler" || fail "the scheduler is silent: $(cat "$job.scheduler")"
grep -Eq 'records [0-9]+ to [0-9]+ were lost with the power' "$job.ps" || fail "the ps is silent: $(cat "$job.ps")"
for rank in 0 1; do
    grep -Eq 'lost .*acknowledged records' "$job.worker-$rank" || fail "worker $rank is silent: $(cat "$job.worker-$rank")"
done
expect 0 "$lost acknowledged records were lost with the power before" "$rubato" fsck "$job/ps-0"
expect_nobody

claim "retain: synced, and nothing is lost while the workers live"
job=$tmp/retained
start_job "$job" --epochs 3 --retain synced
wait_until "$patience_s" has_pushed 1000 || fail "no training: $(job_status) $(cat "$job".*)"
lose_power "$job"
for pid in "${workers[@]}" "$ps"; do
    expect_end "$pid" 0
done
[[ $(job_status | value lost_records) == 0 ]] || fail "records were lost: $(job_status)"
expect_end "$scheduler" 0
grep -Eq 'lost .*acknowledged' "$job.worker-0" "$job.worker-1" && fail "a worker speaks of losses: $(cat "$job".worker-*)"
expect 0 'clean' "$rubato" fsck "$job/ps-0"
expect_nobody
