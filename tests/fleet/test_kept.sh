#!/usr/bin/env bash
# What error feedback keeps back in the workers is in snapshots, and in the weights at the end: sums come out, whatever the
# codec, and on another number of workers and shards.
source "$(dirname "$0")/fleet.sh"

ledger=$build/tests/kept_ledger
periods=400

start_job() { # start_job RUN_DIR WORKERS PS STALENESS: scheduler and ps by hand; sets address and members
    local shard reduce=()
    [[ $4 == bsp ]] && reduce=(--set reduce=sum)
    "$rubato" scheduler --scheduler tcp://127.0.0.1:0 --ps "$3" --workers "$2" --staleness "$4" "${reduce[@]}" --run-dir "$1" \
        --snapshots-dir "$tmp/snapshots" >"$1.scheduler" 2>&1 &
    members=($!)
    wait_until "$patience_s" says "$1.scheduler" '^scheduler at' || fail "no scheduler: $(cat "$1.scheduler")"
    address=$(sed -n 's/^scheduler at //p' "$1.scheduler")
    for ((shard = 0; shard < $3; shard++)); do
        "$rubato" ps --scheduler "$address" --ps "$3" --first-shard "$shard" --run-dir "$1" --snapshots-dir "$tmp/snapshots" \
            >"$1.ps-$shard" 2>&1 &
        members+=($!)
    done
}

end_job() {
    local pid
    for pid in "${members[@]}"; do
        expect_end "$pid" 0
    done
}

at_clock() { # at_clock CLOCK: every rank of the running job has come there
    "$rubato" status --scheduler "$address" --json 2>/dev/null | grep -Eo '"clock": ?[0-9]+' | cut -d: -f2 | sort -n | head -1 |
        { read -r least && ((least >= $1)); }
}

for case in "1bit bsp" "topk 2" "2bit async"; do
    read -r codec staleness <<<"$case"
    claim "$codec, staleness $staleness: a snapshot in mid-run has all that was given below its cut"
    rm -rf "$tmp/snapshots"
    mkdir "$tmp/snapshots"
    start_job "$tmp/$codec" 2 2 "$staleness"
    workers=()
    for rank in 0 1; do
        "$ledger" "$address" train "$codec" "$periods" >"$tmp/$codec.$rank" 2>&1 &
        workers+=($!)
    done
    wait_until "$patience_s" at_clock 20 || fail "they do not train: $(cat "$tmp/$codec".[01])"
    saved=$("$rubato" snapshot save --scheduler "$address" --json 2>"$tmp/said") || fail "snapshot save: $(cat "$tmp/said")"
    cut=$(value least_cut <<<"$saved")
    ((cut > 0 && cut < periods)) || fail "the cut is at $cut: $saved"
    for pid in "${workers[@]}"; do
        expect_end "$pid" 0 || fail "a worker: $(cat "$tmp/$codec".[01])"
    done
    end_job
    grep -q 'dense: off by at most 0.00' "$tmp/$codec.0" || fail "the end: $(cat "$tmp/$codec.0")"
    [[ $staleness != async || $cut == $(value greatest_cut <<<"$saved") ]] || continue # each rank has a cut of its own
    expect 0 'restored to .* 3 shards, 1 workers' "$rubato" snapshot restore "$(value path <<<"$saved")" --to "$tmp/$codec.new" \
        --ps 3 --workers 1
    start_job "$tmp/$codec.new" 1 3 "$staleness"
    expect 0 'rows: off by at most 0.00' "$ledger" "$address" check "$cut" 2
    end_job
done
expect_nobody
