#!/usr/bin/env bash
# Fleets whose gradients travel encoded learn, lose nothing when a ps is killed, and are explained by their journals.
source "$(dirname "$0")/fleet.sh"

options=(--set batch=512 --set optimizer=sgd --set lr=0.1 --set journal_keep=all --set segment_bytes=8M)

bytes_of() { # bytes_of RUN_DIR VERB: what both workers say that they pushed or pulled
    sed -nE "s/.*values on the wire: .*$2 ([0-9]+) bytes.*/\1/p" "$1"/worker-*.log | paste -sd+ | { read -r sum; echo $((sum)); }
}

claim "what no table can have is refused before anything starts"
expect 2 'codec' "$rubato" train "$run_file" --run-dir "$tmp/no" --codec gzip
expect 2 'pull_codec|pull-codec' "$rubato" train "$run_file" --run-dir "$tmp/no" --pull-codec 1bit

claim "float32, to compare with"
start_run "$tmp/f32" "${options[@]}" --ps 2 --epochs 2 --staleness 4
expect_end "$train" 0
plain=$(bytes_of "$tmp/f32" pushed)
((plain > 0)) || fail "the workers do not say what they pushed: $(cat "$tmp"/f32/worker-0.log)"

for codec in bf16 int8 1bit; do
    claim "$codec: kill -9 of a ps in mid-run"
    run=$tmp/$codec
    start_run "$run" "${options[@]}" --ps 2 --epochs 2 --staleness 4 --codec "$codec" --pull-codec bf16
    wait_trained "$run" 100
    kill_member "$run" ps "--first-shard 1"
    expect_end "$train" 0
    expect_value "$run" status ok
    expect_value "$run" restarts 1
    expect_value "$run" examples 120000
    expect_value "$run" lost_records 0
    awk -v a="$(result "$run" accuracy)" 'BEGIN { exit !(a > 0.65) }' || fail "accuracy $(result "$run" accuracy)"
    pushed=$(bytes_of "$run" pushed)
    ((pushed * 19 < plain * 10)) || fail "$codec pushed $pushed bytes, float32 $plain"
    expect 0 '"equal":true,"shards":\[\{"shard":0,.*"equal":true.*"shard":1,.*"equal":true' "$rubato" replay "$run" --json
done

claim "bsp repeats bit for bit with random rounding, on any number of ps"
start_run "$tmp/bsp1" "${options[@]}" --ps 1 --epochs 1 --staleness bsp --codec int8
expect_end "$train" 0
start_run "$tmp/bsp3" "${options[@]}" --ps 3 --epochs 1 --staleness bsp --codec int8
expect_end "$train" 0
expect_value "$tmp/bsp3" weights_crc "$(result "$tmp/bsp1" weights_crc)"
expect_nobody
