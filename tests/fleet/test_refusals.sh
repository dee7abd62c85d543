#!/usr/bin/env bash
# Bad input gets a sentence that names subject, fact and bound, and the right exit code; nothing is half-started.
source "$(dirname "$0")/fleet.sh"

run=$tmp/run
refused() { # refused CODE PATTERN COMMAND...: and neither a run directory nor a process comes of it
    claim "$1: $2"
    expect "$@"
    [[ ! -e $run ]] || fail "a run directory was made by: ${*:3}"
    nobody_is_left || fail "a process was left by: ${*:3}"
}
a_run=("$rubato" train "$run_file" --run-dir "$run")

# ---- data: 4 ----
images=$tmp/images
gunzip -c "$data/t10k-images-idx3-ubyte.gz" >"$images"
head -c 1000000 "$images" >"$images.short"
head -c 1000000 "$data/train-images-idx3-ubyte.gz" >"$images.short.gz"
{ printf 'PK\3\4' && tail -c +5 "$images"; } >"$images.zip"
: >"$images.empty"

refused 4 "train_images: cannot read '$tmp/nowhere': No such file" "${a_run[@]}" --train-images "$tmp/nowhere"
refused 4 "test_labels: cannot read '$tmp/nowhere': No such file" "${a_run[@]}" --test-labels "$tmp/nowhere"
refused 4 "'$images.short' ends at byte 1000000, expected 7840016 bytes" "${a_run[@]}" --train-images "$images.short"
refused 4 "'$images.short.gz' ends at byte [0-9]+, expected \(decompressed\) 47040016 bytes" \
    "${a_run[@]}" --train-images "$images.short.gz"
refused 4 "'$images.zip' is not IDX: it begins with bytes 50 4b 03 04" "${a_run[@]}" --train-images "$images.zip"
refused 4 "'$images.empty' ends at byte 0" "${a_run[@]}" --train-images "$images.empty"
refused 4 "train-labels-idx1-ubyte.gz' holds 60000 labels, expected 10000" "${a_run[@]}" --train-images "$images"

refused 2 "batch: 70000, the training data has 60000 examples" "${a_run[@]}" --batch 70000
refused 4 '^\{"status":"failed","exit_code":4,"reason":"train_images: ' "${a_run[@]}" --json --train-images "$tmp/nowhere"

# ---- usage and configuration: 2 ----
written() { # written TEXT: a run file
    printf '%b' "$1" >"$tmp/run.yaml"
    echo "$tmp/run.yaml"
}
refused 2 "run.yaml:3: unknown key 'bath'; the nearest known key is 'batch'" \
    "$rubato" train "$(written 'train:\n  epochs: 2\n  bath: 64\n')" --run-dir "$run"
refused 2 "run.yaml:1: unknown group 'trian'; the nearest known group is 'train'" \
    "$rubato" train "$(written 'trian: {epochs: 2}\n')" --run-dir "$run"
refused 2 "run.yaml:2: batch: 'many' is not a whole number" \
    "$rubato" train "$(written 'train:\n  batch: many\n')" --run-dir "$run"
refused 2 "run.yaml:2: " "$rubato" train "$(written 'train: [\n')" --run-dir "$run"
refused 2 "run file: cannot open '$tmp/nowhere.yaml': No such file" "$rubato" train "$tmp/nowhere.yaml" --run-dir "$run"
refused 2 "no run file" "$rubato" train --run-dir "$run"
refused 2 "unknown key 'worker'; the nearest known key is 'workers'" "${a_run[@]}" --worker 2
refused 2 "workers: 0 is below the least, 1" "${a_run[@]}" --workers 0
refused 2 "staleness: 'soon' is not a whole number, bsp or async" "${a_run[@]}" --staleness soon
refused 2 "unknown key 'epocs'; the nearest known key is 'epochs'" "${a_run[@]}" --set epocs=3
refused 2 "lr: 'fast' is not a number" "${a_run[@]}" --set lr=fast
refused 2 "model_kind [a-z]+ learns from examples of a fixed size: data_format is libsvm, expected idx, npy, csv or tsv" \
    "${a_run[@]}" --data-format libsvm
refused 2 "data_memory: model_kind [a-z]+ has all of its data in memory" "${a_run[@]}" --data-memory 4M
refused 2 "vectors: model_kind [a-z]+ has none of words, entities or items" "${a_run[@]}" --vectors "$tmp/vectors"
refused 2 "delay: optimizer add takes what is pushed as it is" "${a_run[@]}" --set optimizer=add --set delay=divide
refused 2 "delay: model_kind logistic has hashed tables" "${a_run[@]}" --set model_kind=logistic --set delay=compensate
refused 2 "delay: optimizer adarevision makes up for late gradients by itself" "${a_run[@]}" --set optimizer=adarevision --set delay=compensate
refused 2 "epsilon: optimizer adarevision divides by it" "${a_run[@]}" --set optimizer=adarevision --set epsilon=0
refused 2 "local_steps: optimizer adarevision makes up for .*: take adagrad" "${a_run[@]}" --set optimizer=adarevision --set local_steps=2
refused 2 "optimizer lamb takes norms of whole tensors, which no shard has" "${a_run[@]}" --set optimizer=lamb
refused 2 "optimizer lamb takes .*: it is for networks" "${a_run[@]}" --set model_kind=logistic --set optimizer=lamb
refused 2 "clip_norm: model_kind mf steps on the worker" "${a_run[@]}" --set model_kind=mf --set clip_norm=1
refused 2 "schedule_clocks: 0, schedule inverse has no other measure" "${a_run[@]}" --set schedule=inverse
refused 2 "weight_decay: optimizer ftrl takes none, expected 0, or l2" "${a_run[@]}" --set optimizer=ftrl --set weight_decay=1
refused 2 "l1: optimizer adagrad has none, expected ftrl" "${a_run[@]}" --set optimizer=adagrad --set l1=1e-3
refused 2 "l2: optimizer sgd has none, expected ftrl, or weight_decay" "${a_run[@]}" --set optimizer=sgd --set l2=1e-3
refused 2 "valid_file: model_kind [a-z]+ does not read it, expected valid_images" "${a_run[@]}" --set valid_file="$images"
refused 2 "held_out: 1.5 is above the greatest, 0.99$" "${a_run[@]}" --set held_out=1.5
refused 2 "validation_metric: 'auk' is no figure of this model" "${a_run[@]}" --set validation_metric=auk
refused 2 "local_steps: model_kind logistic has none" "${a_run[@]}" --set model_kind=logistic --set local_steps=2
refused 2 "local_steps: workers step with gradients of their own.*delay" "${a_run[@]}" --set local_steps=2 --set delay=divide
refused 2 "server_momentum: the shards step with averaged changes .* local_steps" "${a_run[@]}" --set server_momentum=0.5
refused 2 "server_lr: the shards step with averaged changes .* local_steps" "${a_run[@]}" --set server_lr=0.5
refused 2 "batch times local_steps: 128000, the training data has 60000" "${a_run[@]}" --set local_steps=1000
refused 2 "admit_counters: 262144, but pushes are counted only where admit_count is above 1" \
    "${a_run[@]}" --set model_kind=logistic --set admit_counters=262144
refused 2 "evict_sweep: 64, but no row is looked at unless evict_idle or evict_norm" \
    "${a_run[@]}" --set model_kind=logistic --set evict_sweep=64
refused 2 "RUBATO_EPOCS: unknown key 'epocs'" env RUBATO_EPOCS=3 "${a_run[@]}"
refused 2 'snapshot_interval: with durability none there is no journal' "${a_run[@]}" --durability none --snapshot-interval 1s
refused 2 'journal_keep: all of no journal' "${a_run[@]}" --durability none --journal-keep all
refused 74 "snapshots_dir: cannot make folder '$images" "${a_run[@]}" --snapshots-dir "$images/below"
refused 74 "scheduler's store: cannot make folder '$images" "$rubato" scheduler --port "$(free_port)" --run-dir "$images/below"
refused 74 "store of shard 0: cannot make folder '$images" "$rubato" ps --run-dir "$images/below" --join-timeout 1s
refused 2 "worker: '$tmp' is not a run file" "$rubato" worker "$tmp"
refused 2 "'$tmp' is not a run directory" "$rubato" status "$tmp"
refused 2 "no 'snapshot look' with 1 words; there are: save" "$rubato" snapshot look "$tmp"
mkdir "$tmp/moved"
printf 'store:\n  snapshots_dir: %s\n' "$tmp/unmounted" >"$tmp/moved/config.yaml"
refused 2 "no folder of snapshots at $tmp/unmounted" "$rubato" snapshot ls "$tmp/moved" # not those of the run's own folder
rm -r "$tmp/moved"
refused 2 "no command 'trian'; the nearest known command is 'train'" "$rubato" trian
refused 75 "no scheduler answers at tcp://127.0.0.1:[0-9]+ within 3 s" \
    "$rubato" status --scheduler "tcp://127.0.0.1:$(free_port)"

# ---- run directories ----
touch "$tmp/file"
claim "74: a run directory below a file"
expect 74 "run directory: cannot make folder '$tmp/file': Not a directory" "$rubato" train "$run_file" --run-dir "$tmp/file/run"
nobody_is_left || fail "a process was left"
claim "77: a run directory in use"
start_run "$run" --epochs 1000
wait_until "$patience_s" test -s "$run/config.yaml" || fail "no run began: $(cat "$run.err")"
expect 77 "run directory '$run' is in use: lock '$run/lock' is held by [^ ]*:$train" "${a_run[@]}"
kill -INT "$train"
expect_end "$train" 130
claim "77: a run directory of an earlier run"
expect 77 "run directory '$run' holds an earlier run; name another one" "${a_run[@]}"
expect_nobody
rm -rf "$run"

# ---- by hand: a ps that never comes, and everything that is taken ----
"$rubato" scheduler --scheduler tcp://127.0.0.1:0 --ps 2 --workers 1 --join-timeout 18s --run-dir "$tmp/job" >"$tmp/scheduler.log" 2>&1 &
scheduler=$!
wait_until "$patience_s" says "$tmp/scheduler.log" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler.log")"
began_s=$SECONDS
address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler.log")
port=${address##*:}
"$rubato" ps --scheduler "$address" --ps 2 --run-dir "$tmp/job" >"$tmp/ps.log" 2>&1 &
ps=$!
wait_until "$patience_s" says "$tmp/scheduler.log" "shard 0 is .*:$ps at tcp" || fail "no ps: $(cat "$tmp/ps.log")"

claim "75 and 77: what is taken names its holder"
expect 75 "cannot listen on $address: Address already in use" "$rubato" scheduler --scheduler "$address" --run-dir "$tmp/second"
[[ ! -e $tmp/second ]] || fail "a scheduler without a port made files"
expect 75 "port $port on '127.0.0.1' cannot be bound: Address already in use" "${a_run[@]}" --scheduler "$address"
[[ ! -e $run ]] || fail "a run without a port made its directory"
expect 75 "cannot listen on $address: Address already in use" \
    "$rubato" ps --scheduler "$address" --port "$port" --ps 2 --first-shard 1 --run-dir "$tmp/third"
[[ ! -e $tmp/third ]] || fail "a ps without a port made files"
expect 77 "job/scheduler/lock' is held by [^ ]*:$scheduler" \
    "$rubato" scheduler --scheduler tcp://127.0.0.1:0 --run-dir "$tmp/job"
expect 77 "job/ps-0/shard-0/lock' is held by [^ ]*:$ps" "$rubato" ps --scheduler "$address" --ps 2 --run-dir "$tmp/job"
expect 77 "shard 0 is held by [^ ]*:$ps, heard [0-9.]+ s ago" \
    "$rubato" ps --scheduler "$address" --ps 2 --run-dir "$tmp/fourth"
expect 77 "shard 1 was told of 3 shards, the job has 2" \
    "$rubato" ps --scheduler "$address" --ps 3 --first-shard 1 --run-dir "$tmp/fifth"

claim "75: a ps that never comes is named in log and status"
wait_until 30 says "$tmp/scheduler.log" 'waiting: shard 1 is not here yet' || fail "nobody is named: $(cat "$tmp/scheduler.log")"
expect 0 'shard 1 is not here yet' "$rubato" status --scheduler "$address"
expect 0 '"reason":"shard 1 is not here yet' "$rubato" status --scheduler "$address" --json
expect_end "$scheduler" 75
((SECONDS - began_s >= 17)) || fail "the scheduler did not wait for --join-timeout"
says "$tmp/scheduler.log" '18.0 s have passed: shard 1 is not here yet' || fail "the end names nobody: $(cat "$tmp/scheduler.log")"
expect_end "$ps" 0
expect_nobody

claim "77: a rank that is held, 75: a scheduler that never comes"
"$rubato" scheduler --scheduler tcp://127.0.0.1:0 --ps 1 --workers 2 --run-dir "$tmp/held" >"$tmp/scheduler-held.log" 2>&1 &
scheduler=$!
wait_until "$patience_s" says "$tmp/scheduler-held.log" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler-held.log")"
address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler-held.log")
"$rubato" ps --scheduler "$address" --run-dir "$tmp/held" >"$tmp/ps-held.log" 2>&1 &
ps=$!
"$rubato" worker "$run_file" --scheduler "$address" --rank 0 --run-dir "$tmp/held" >"$tmp/worker.log" 2>&1 &
worker=$!
wait_until "$patience_s" says "$tmp/worker.log" 'joined as rank 0' || fail "no worker: $(cat "$tmp/worker.log")"
expect 77 "rank 0 is held by [^ ]*:$worker, heard [0-9.]+ s ago" "$rubato" worker "$run_file" --scheduler "$address" --rank 0
expect 77 "rank 7: the job has ranks 0 to 1" "$rubato" worker "$run_file" --scheduler "$address" --rank 7
for pid in "$worker" "$ps"; do # one by one: a scheduler that ends lets its shards go, which is 0
    kill -TERM "$pid"
    expect_end "$pid" 143
done
kill -TERM "$scheduler"
wait_until "$patience_s" has_ended "$scheduler" || fail "the scheduler did not leave"
deep=$(printf "/%0250d" 1 2 3 4)
expect 2 'the folder of snapshots in run_dir has a path above 998 bytes' "$rubato" scheduler --listen 127.0.0.1 --port "$(free_port)" --run-dir "$tmp$deep"
expect 2 'error scheduler: --reduce: reduce: each, but staleness is async' "$rubato" scheduler --staleness async --reduce each
expect 2 "^rubato train: --set: reduce: sum, but staleness is 4, .* expected bsp" "$rubato" train "$run_file" --staleness 4 --set reduce=sum --run-dir "$tmp/no"
nowhere=tcp://127.0.0.1:$(free_port)
expect 75 "$nowhere" "$rubato" worker "$run_file" --scheduler "$nowhere" --join-timeout 1s
expect 75 "$nowhere" "$rubato" ps --scheduler "$nowhere" --join-timeout 1s --run-dir "$tmp/alone"
expect_nobody
