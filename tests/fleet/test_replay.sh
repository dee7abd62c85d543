#!/usr/bin/env bash
# The journal is the truth: with journal_keep: all the stored rows, slots and step counters follow from it bit for bit,
# whatever was killed meanwhile, and though the learning rate changes with the clock and with how late a push is; a snapshot's rows follow from it up to the cut; and what does not follow is named.
source "$(dirname "$0")/fleet.sh"

options=(--set journal_keep=all --set segment_bytes=8M --epochs 2 --set batch=512 --set optimizer=amsgrad --set lr=0.001 --set schedule=cosine
    --set warmup_clocks=20 --set delay=divide --set clip_norm=5 --staleness 4)

claim "a run with a snapshot and a ps that is killed"
start_run "$tmp/run" "${options[@]}" --ps 2
wait_trained "$tmp/run" 100
expect 0 'snapshot [0-9]+ in' "$rubato" snapshot save "$tmp/run"
expect 77 'held by' "$rubato" replay "$tmp/run"
kill_member "$tmp/run" ps "--first-shard 1"
expect_end "$train" 0
expect_value "$tmp/run" restarts 1
ls "$tmp"/run/ps-1/shard-1/journal/kept/*.seg >/dev/null || fail "nothing is kept"

claim "what is stored follows from the journal"
expect 0 '"equal":true,"shards":\[\{"shard":0,.*"equal":true.*"shard":1,.*"equal":true' "$rubato" replay "$tmp/run" --json
crc=$(result "$tmp/run" weights_crc)
sum=0
for digest in $(grep -o '"digest":"[0-9a-f]*"' "$tmp/said" | cut -d'"' -f4); do sum=$((sum + 0x$digest)); done
[[ $(printf '%016x' "$sum") == "$crc" ]] || fail "the digests add up to $(printf '%016x' "$sum"), the result has $crc"
expect 0 'shard 1: .*equal, bit for bit' "$rubato" replay "$tmp/run" --only-shard 1
! grep -q 'shard 0' "$tmp/said" || fail "shard 0 was replayed too"

claim "a snapshot follows from the journal up to its cut"
expect 0 '"equal":true,"shards":\[\{"shard":0,.*"equal":true.*"shard":1,.*"equal":true' "$rubato" replay "$tmp/run" --snapshot 1 --json
at_cut=$(value records <"$tmp/said")
expect 0 'equal' "$rubato" replay "$tmp/run" --only-shard 0 --json
((at_cut < $(value records <"$tmp/said"))) || fail "the cut has as many records as the run"

claim "a resumed run follows from its snapshot and its own journal"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/on" "${options[@]}" --ps 3 --resume "$tmp/run/snapshots/000001"
expect 0 'shard 2: .*equal, bit for bit' "$rubato" replay "$tmp/on"

claim "a run whose late gradients are compensated follows from its journal, where they stand as they were applied"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/late" --set journal_keep=all --epochs 1 --set batch=512 --set delay=compensate_adaptive \
    --codec int8 --staleness async --workers 4
expect 0 'shard 0: .*equal, bit for bit' "$rubato" replay "$tmp/late"

claim "so does one whose optimizer revises: what late gradients could not know stands beside them"
revised=(--set journal_keep=all --epochs 2 --set batch=256 --set optimizer=adarevision --lr 0.02 --codec f16 --staleness async --workers 4)
start_run "$tmp/revised" "${revised[@]}" --ps 2
wait_trained "$tmp/revised" 100
expect 0 'snapshot [0-9]+ in' "$rubato" snapshot save "$tmp/revised"
kill_member "$tmp/revised" ps "--first-shard 1"
expect_end "$train" 0
expect 0 '"equal":true,"shards":\[\{"shard":0,.*"equal":true.*"shard":1,.*"equal":true' "$rubato" replay "$tmp/revised" --json
expect 0 '"equal":true' "$rubato" replay "$tmp/revised" --snapshot 1 --json
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/revised-on" "${revised[@]}" --ps 3 --resume "$tmp/revised/snapshots/000001"
expect 0 'shard 2: .*equal, bit for bit' "$rubato" replay "$tmp/revised-on"

claim "what does not follow is named"
expect 2 'no stores of shards' "$rubato" replay "$tmp/nowhere"
expect 2 'is no snapshot: it has no manifest' "$rubato" replay "$tmp/run" --snapshot 9
expect 2 'has no shard 7' "$rubato" replay "$tmp/run" --only-shard 7
kept=$tmp/run/ps-0/shard-0/journal/kept
mv "$kept/0000000000000002.seg" "$tmp/aside"
expect 74 'segment 0000000000000002 is missing' "$rubato" replay "$tmp/run"
cp "$tmp/aside" "$kept/0000000000000002.seg"
printf '?' | dd of="$kept/0000000000000002.seg" bs=1 seek=100000 conv=notrunc status=none
expect 74 '0000000000000002.seg is damaged at offset' "$rubato" replay "$tmp/run"
cp "$tmp/aside" "$kept/0000000000000002.seg"
mv "$tmp/run/ps-0/shard-0/data.mdb" "$tmp/aside"
cp "$tmp/on/ps-0/shard-0/data.mdb" "$tmp/run/ps-0/shard-0/data.mdb" # of another job: whole, but not what follows
expect 74 . "$rubato" replay "$tmp/run"
expect_nobody
