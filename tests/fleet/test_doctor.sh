#!/usr/bin/env bash
# rubato doctor: a plan that cannot work, a machine that is too small, a job whose members are missing, stopped or dead:
# each is named with what was tried, and nothing is changed by looking.
source "$(dirname "$0")/fleet.sh"
doctor() { expect "$1" "$2" "$rubato" doctor "${@:3}"; }

claim "a sound plan has no problem, and says what was looked at"
doctor 0 'fine +data +can be read; the model has 235146 parameters' "$run_file" --run-dir "$tmp/planned"
says "$tmp/said" '^[0-9]+ looked at: 0 problems' || fail "$(cat "$tmp/said")"
[[ ! -e $tmp/planned ]] || fail "looking made a run directory"
"$rubato" doctor "$run_file" --json | is_json || fail "not JSON"

claim "a plan that cannot work: data, port, limits, disk"
doctor 4 "problem +data +train_images: cannot read '$tmp/nowhere'" "$run_file" --train-images "$tmp/nowhere"
doctor 2 "problem +options +--set: reduce: sum, but staleness is 4" "$run_file" --staleness 4 --set reduce=sum
doctor 2 "neither a run file .* nor a run directory" "$tmp/nowhere"
(ulimit -n 30 && doctor 1 "problem +limits +30 open files are allowed, expected [0-9]+" "$run_file")
(ulimit -f 1000 && doctor 1 "problem +limits +files may not grow beyond 1024000 bytes" "$run_file")
doctor 75 "problem +scheduler +none answers at tcp://127.0.0.1:1: 127.0.0.1 port 1: Connection refused" --scheduler tcp://127.0.0.1:1
doctor 75 "host 'nowhere.invalid' is not known here" --scheduler tcp://nowhere.invalid:5555

claim "a job by hand: a rank that never came, a port that is taken, a worker that is stopped, a shard that is dead"
port=$(free_port)
address=tcp://127.0.0.1:$port
"$rubato" scheduler --scheduler "$address" --ps 1 --workers 2 --run-dir "$tmp/job" >"$tmp/scheduler.log" 2>&1 &
scheduler=$!
"$rubato" ps --scheduler "$address" --run-dir "$tmp/job" >"$tmp/ps.log" 2>&1 &
ps=$!
"$rubato" worker "$run_file" --scheduler "$address" --epochs 1000 --join-timeout 120s >"$tmp/worker-a.log" 2>&1 &
first=$!
has_met() { "$rubato" status --scheduler "$address" --json 2>/dev/null | grep -q '"epoch":1,"state":"live"'; }
wait_until "$patience_s" has_met || fail "nobody meets: $(cat "$tmp"/*.log)"
doctor 75 'problem +rank [01] +has never come' --scheduler "$address"
says "$tmp/said" 'fine +shards +1 of 1 are heard and reachable' || fail "$(cat "$tmp/said")"
doctor 75 "problem +port +port $port on '127.0.0.1' cannot be bound" --port "$port" "$run_file"
"$rubato" worker "$run_file" --scheduler "$address" --epochs 1000 >"$tmp/worker-b.log" 2>&1 &
second=$!
both_train() { [[ $("$rubato" status --scheduler "$address" --json 2>/dev/null | value state) == running ]]; }
wait_until "$patience_s" both_train || fail "nobody trains: $(cat "$tmp"/*.log)"
doctor 0 'fine +ranks +2 of 2 are heard or done' --scheduler "$address"
"$rubato" train "$run_file" --scheduler "$address" --run-dir "$tmp/job" --print-config >"$tmp/job/config.yaml" # as fleet-local
doctor 0 'fine +ranks +2 of 2 are heard or done' "$tmp/job"
says "$tmp/said" 'ended from outside' && fail "a job that runs has ended: $(cat "$tmp/said")"
kill -9 "$ps"
doctor 75 "problem +shard 0 +[^ ]*:$ps cannot be reached at tcp://127.0.0.1:[0-9]+ from here: .*Connection refused" --scheduler "$address"
kill -STOP "$scheduler"
doctor 75 "connected, but no word of a scheduler within 3 s" --scheduler "$address"
kill -9 "$scheduler" "$first" "$second"
wait "$scheduler" "$ps" "$first" "$second" 2>/dev/null || true
doctor 0 "note +scheduler +none answers at $address: .*; the job is over, or not begun" "$tmp/job"

claim "a run directory: in use, over, and ended from outside"
start_run "$tmp/run" --epochs 1000
wait_trained "$tmp/run" 20
doctor 0 'fine +directory +in use: .*' "$tmp/run"
says "$tmp/said" 'fine +scheduler .* answers after [0-9]+ ms' || fail "$(cat "$tmp/said")"
kill -9 "$train"
expect_end "$train" 137 # a lock goes after the memory does
expect_nobody
doctor 75 'problem +result +there is none, and nobody holds the directory' "$tmp/run"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/done" --epochs 1
doctor 0 'fine +result +the run is over: ok' "$tmp/done"
