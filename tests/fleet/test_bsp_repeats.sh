#!/usr/bin/env bash
# bsp repeats: the same seed and configuration give the same bits, twice in a row, on 1, 2 and 3 ps, and after kill -9 of
# a ps in mid-run.
source "$(dirname "$0")/fleet.sh"

bsp=(--staleness bsp --set seed=7 --epochs 1)
wanted= n=0
same_crc() { # same_crc RUN_DIR
    local crc
    crc=$(result "$1" weights_crc)
    [[ $crc =~ ^[0-9a-f]{16}$ ]] || fail "weights_crc is '$crc'"
    wanted=${wanted:-$crc}
    [[ $crc == "$wanted" ]] || fail "weights_crc is $crc, the first run had $wanted"
}

for ps in 2 2 1 3; do
    run=$tmp/run-$((++n))-$ps
    claim "bsp with $ps ps"
    expect 0 '^\{"status":"ok".*\}$' "$rubato" train "$run_file" --run-dir "$run" "${bsp[@]}" --ps "$ps" --json
    [[ $(tail -n 1 "$tmp/said" | value weights_crc) == "$(result "$run" weights_crc)" ]] \
        || fail "the last line of standard output is not result.json's object"
    expect_value "$run" max_gap 0
    expect_value "$run" restarts 0
    expect_value "$run" examples 60000
    same_crc "$run"
    rm -rf "$run"
done

claim "steps that workers take with whole tensors, averaged: the same on 1 ps and on 2"
for ps in 1 2; do
    run=$tmp/local-$ps
    expect 0 . "$rubato" train "$run_file" --run-dir "$run" "${bsp[@]}" --ps "$ps" --set local_steps=8 --set optimizer=lamb --lr 0.01
    expect_value "$run" examples 60000
    awk -v accuracy="$(result "$run" accuracy)" 'BEGIN { exit !(accuracy > 0.7) }' || fail "accuracy $(result "$run" accuracy)"
done
[[ $(result "$tmp/local-1" weights_crc) == "$(result "$tmp/local-2" weights_crc)" ]] || fail "local steps do not repeat on another number of ps"

claim "momentum of the shards over single steps of the workers is the momentum of an optimizer"
short=("${bsp[@]}" --workers 2 --set batch=512 --lr 0.02)
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/there" "${short[@]}" --set optimizer=momentum --set momentum=0.8
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/here" "${short[@]}" --set optimizer=sgd --set local_steps=1 \
    --set server_momentum=0.8
awk -v a="$(result "$tmp/there" loss)" -v b="$(result "$tmp/here" loss)" 'BEGIN { exit !((a - b) ^ 2 < (0.002 * a) ^ 2) }' \
    || fail "losses $(result "$tmp/there" loss) and $(result "$tmp/here" loss)"

claim "bsp with 2 ps, one of them killed in mid-run"
run=$tmp/killed
start_run "$run" "${bsp[@]}" --ps 2
wait_trained "$run" 400
kill_member "$run" ps "--first-shard 1"
expect_end "$train" 0
expect_before "$run/scheduler.log" 'shard 1 is .*incarnation 2' 'all workers are done'
says "$run/ps-1.log" "shard 1 recovered: .* redo [1-9][0-9]* records.* incarnation 2" || fail "shard 1 recovered nothing: $(cat "$run/ps-1.log")"
expect_value "$run" status ok
expect_value "$run" restarts 1
expect_value "$run" max_gap 0
expect_value "$run" examples 60000
same_crc "$run"
expect_nobody
