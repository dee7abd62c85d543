#!/usr/bin/env bash
# A worker that dies under bsp: its successor goes on where the job is, and the result says that it does not repeat.
source "$(dirname "$0")/fleet.sh"

claim "kill -9 of a worker under bsp"
run=$tmp/bsp
start_run "$run" --ps 1 --staleness bsp --epochs 3
wait_trained "$run" 1500
kill_member "$run" worker "--rank 1"
expect_end "$train" 0
expect_before "$run/scheduler.log" 'rank 1 .*is evicted' 'all workers are done'
expect_value "$run" status ok
expect_value "$run" restarts 1
expect_value "$run" evictions 1
expect_value "$run" repeatable false
says "$run/worker-1.log" 'begins where the job is' || fail "rank 1 began anew: $(cat "$run/worker-1.log")"
[[ $(grep -c 'test accuracy' "$run/worker-0.log") == 3 ]] || fail "not three epochs: $(cat "$run/worker-0.log")"
examples=$(result "$run" examples)
((examples > 100000)) || fail "only $examples examples of 180000"
((examples < 180128)) || fail "$examples examples of 180000: a batch was taken twice"
expect_nobody
