#!/usr/bin/env bash
# A run goes on from its snapshot as if it had not stopped: under bsp to the same bits, slots included, on any number of
# ps; with another number of workers, and with a staleness bound, without skipping any data.
source "$(dirname "$0")/fleet.sh"

# The 10,000 images that are meant for tests do for training here: a sixth of the work.
images=(--train-images "$data/t10k-images-idx3-ubyte.gz" --train-labels "$data/t10k-labels-idx1-ubyte.gz")
options=("${images[@]}" --set seed=7 --epochs 3 --set batch=64 --set optimizer=adam --set lr=0.001 --set schedule=cosine --set lr_end=0.0005)
bsp=(--staleness bsp "${options[@]}")
saved() { # saved RUN PUSHES: a snapshot of a running job, in mid-run
    wait_trained "$1" "$2"
    expect 0 'snapshot [0-9]+ in .*snapshots/000001' "$rubato" snapshot save "$1"
}

claim "a run that is not stopped, and one that a snapshot is taken of"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/whole" "${bsp[@]}" --ps 2
start_run "$tmp/run" "${bsp[@]}" --ps 2 --pace 10ms
saved "$tmp/run" 1000
expect_end "$train" 0
crc=$(result "$tmp/whole" weights_crc)
[[ $crc =~ ^[0-9a-f]{16}$ ]] || fail "weights_crc is '$crc'"
expect_value "$tmp/run" weights_crc "$crc"
snapshot=$tmp/run/snapshots/000001
expect 0 'whole, 2 parts' "$rubato" snapshot verify "$snapshot"
expect 0 '"least_cut":[1-9][0-9]*,.*"tables":\["layer0/weights"' "$rubato" snapshot ls "$tmp/run" --json
greatest=$(value greatest_cut <"$tmp/said")

claim "bsp: the same bits on 1 and 3 ps"
for ps in 1 3; do
    expect 0 "goes on from snapshot 1: .*clock $greatest, " "$rubato" train "$run_file" --run-dir "$tmp/on-$ps" "${bsp[@]}" --ps "$ps" --resume "$snapshot"
    expect_value "$tmp/on-$ps" weights_crc "$crc"
    expect_value "$tmp/on-$ps" accuracy "$(result "$tmp/whole" accuracy)"
    (($(result "$tmp/on-$ps" examples) < 3 * 10000)) || fail "it counts what it did not train: $(cat "$tmp/on-$ps/result.json")"
    (($(result "$tmp/on-$ps" examples) > 10000)) || fail "it trained too little: $(cat "$tmp/on-$ps/result.json")"
done

claim "bsp: a resumed run can be resumed from again"
start_run "$tmp/again" "${bsp[@]}" --ps 1 --resume "$snapshot" --pace 10ms # else it may be over before it is asked
saved "$tmp/again" 600
expect_end "$train" 0
expect_value "$tmp/again" weights_crc "$crc"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/twice" "${bsp[@]}" --ps 2 --resume "$tmp/again/snapshots/000001"
expect_value "$tmp/twice" weights_crc "$crc"

claim "bsp: 3 workers go on where 2 were, and train what was left of the data"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/three" "${bsp[@]}" --workers 3 --ps 2 --resume "$snapshot"
expect_value "$tmp/three" status ok
expect_value "$tmp/three" examples "$(result "$tmp/on-3" examples)"
expect_value "$tmp/three" max_gap 0

claim "restored by hand, and run by hand"
expect 0 'restored to .* 3 shards, 2 workers' "$rubato" snapshot restore "$snapshot" --to "$tmp/hand" --ps 1 --shards 3
expect 0 'restored from a snapshot, and not opened since' "$rubato" fsck "$tmp/hand"
port=$(free_port)
hand=(--scheduler "tcp://127.0.0.1:$port" --run-dir "$tmp/hand")
"$rubato" scheduler "${hand[@]}" --workers 2 --n-shards 3 --staleness bsp --seed 7 >"$tmp/scheduler.out" 2>&1 &
scheduler=$!
"$rubato" ps "${hand[@]}" --shards 3 --n-shards 3 --store-dir "$tmp/hand/ps-0" --journal-keep all >"$tmp/ps.out" 2>&1 &
ps=$!
workers=()
for rank in 0 1; do
    OPENBLAS_NUM_THREADS=1 "$rubato" worker "$run_file" "${hand[@]}" "${images[@]}" --rank "$rank" --seed 7 --epochs 3 --batch 64 --optimizer adam --lr 0.001 --schedule cosine --lr-end 0.0005 \
        >"$tmp/worker-$rank.out" 2>&1 &
    workers+=($!)
done
wait_until "$patience_s" says "$tmp/ps.out" 'shard 2 begins with what was restored' || fail "the ps did not find its store: $(cat "$tmp/ps.out")"
for pid in "${workers[@]}" "$ps"; do expect_end "$pid" 0; done
expect_end "$scheduler" 0
expect 0 '"equal":true' "$rubato" replay "$tmp/hand" --json
sum=0
for digest in $(grep -o '"digest":"[0-9a-f]*"' "$tmp/said" | cut -d'"' -f4); do sum=$((sum + 0x$digest)); done
[[ $(printf '%016x' "$sum") == "$crc" ]] || fail "by hand it comes to $(printf '%016x' "$sum"), not to $crc"

claim "staleness 4: the data is dealt again from the cut, nothing is skipped"
start_run "$tmp/ssp" --staleness 4 "${options[@]}" --ps 2 --pace 10ms
saved "$tmp/ssp" 1000
expect_end "$train" 0
expect 0 'examples of it are dealt again' "$rubato" train "$run_file" --run-dir "$tmp/ssp-3" --staleness 4 "${options[@]}" --ps 3 --workers 3 \
    --resume "$tmp/ssp/snapshots/000001" --pull-log --journal-keep all
expect_value "$tmp/ssp-3" status ok
expect 0 'no read broke its bound, greatest gap [0-4]$' "$rubato" audit "$tmp/ssp-3"
(($(result "$tmp/ssp-3" max_gap) <= 4)) || fail "the bound is broken: $(cat "$tmp/ssp-3/result.json")"

claim "what can not be resumed is refused before anything starts"
refused() {
    expect "$1" "$2" "$rubato" train "$run_file" --run-dir "$tmp/refused" "${@:3}"
    [[ ! -e $tmp/refused ]] || fail "a run directory is left: $(ls "$tmp/refused")"
}
refused 2 'durability none has none' "${bsp[@]}" --resume "$snapshot" --durability none
refused 2 'seed 7, asked for 8' "${bsp[@]}" --resume "$snapshot" --seed 8
refused 2 'is bsp, asked for not bsp' "${bsp[@]}" --staleness 4 --resume "$snapshot"
refused 2 "'$tmp/run' is no snapshot: it has no manifest" "${bsp[@]}" --resume "$tmp/run"
refused 2 'nothing is left to train' "${bsp[@]}" --epochs 1 --resume "$tmp/again/snapshots/000001"
cp -r "$snapshot" "$tmp/damaged"
printf '?' | dd of="$tmp/damaged/shard-1" bs=1 seek=5000 conv=notrunc status=none
refused 74 'shard-1 is damaged at offset' "${bsp[@]}" --resume "$tmp/damaged"
expect 74 'shard-1 is damaged at offset' "$rubato" snapshot verify "$tmp/damaged"
cp "$snapshot/shard-0" "$tmp/damaged/shard-1"
expect 74 'not the file that the manifest means' "$rubato" snapshot verify "$tmp/damaged"
rm "$tmp/damaged/shard-1"
expect 74 'cannot open .*shard-1' "$rubato" snapshot verify "$tmp/damaged"
expect 77 'is there already' "$rubato" snapshot restore "$snapshot" --to "$tmp/hand"
expect 2 'needs --to DIR' "$rubato" snapshot restore "$snapshot"
expect_nobody
