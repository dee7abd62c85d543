#!/usr/bin/env bash
# Whatever is killed with kill -9 in mid-run is started again, and the run ends as if nothing had been.
source "$(dirname "$0")/fleet.sh"

incarnation_is() { # incarnation_is RUN_DIR SHARD N
    local now
    now=$(status "$1")
    [[ $(grep -Eo '"incarnation":[0-9]+' <<<"$now" | sed -n "$(($2 + 1))s/.*://p") == "$3" ]]
}
pushes() { status "$1" | total pushes; }
goes_on() { (($(pushes "$1") > $2 + 50)); } # goes_on RUN_DIR PUSHES

claim "kill -9 of a ps, twice"
run=$tmp/ps
start_run "$run" --ps 2 --staleness 4 --epochs 3
wait_trained "$run" 1000
kill_member "$run" ps "--first-shard 0"
wait_until "$patience_s" incarnation_is "$run" 0 2 || fail "shard 0 did not come back: $(cat "$run.out" "$run/ps-0.log")"
wait_until "$patience_s" goes_on "$run" "$(pushes "$run")" || fail "no pushes after the first kill: $(status "$run")"
kill_member "$run" ps "--first-shard 0"
expect_end "$train" 0
expect_before "$run/scheduler.log" 'shard 0 is .*incarnation 3' 'all workers are done'
expect_value "$run" status ok
expect_value "$run" restarts 2
expect_value "$run" examples 180000
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect_nobody
rm -rf "$run"

claim "kill -9 of the scheduler"
run=$tmp/scheduler
start_run "$run" --ps 2 --staleness 4 --epochs 2
wait_trained "$run" 1000
kill_member "$run" scheduler
expect_end "$train" 0
expect_before "$run/scheduler.log" 'generation 2' 'all workers are done'
expect_value "$run" status ok
expect_value "$run" restarts 1
expect_value "$run" examples 120000
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect_nobody
rm -rf "$run"

claim "a worker that stood still is evicted, and started again"
run=$tmp/paused
start_run "$run" --ps 2 --staleness 4 --epochs 6 --lease 3s
wait_trained "$run" 1000
paused=$(member "$run" worker "--rank 1")
kill -STOP "$paused"
wait_until "$patience_s" says "$run/scheduler.log" 'rank 1 .*is evicted' || fail "nobody evicts: $(cat "$run/scheduler.log")"
kill -CONT "$paused"
expect_end "$train" 0
expect_value "$run" status ok
expect_value "$run" restarts 1
expect_value "$run" evictions 1
(($(result "$run" examples) >= 360000)) || fail "only $(result "$run" examples) examples of 360000"
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect_nobody
rm -rf "$run"

claim "kill -9 of a worker"
run=$tmp/worker
start_run "$run" --ps 2 --staleness 4 --epochs 2
wait_trained "$run" 1000
kill_member "$run" worker "--rank 1"
expect_end "$train" 0
expect_before "$run/scheduler.log" 'rank 1 .*is evicted' 'all workers are done'
expect_value "$run" status ok
expect_value "$run" restarts 1
expect_value "$run" evictions 1
(($(result "$run" examples) >= 120000)) || fail "only $(result "$run" examples) examples of 120000"
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect_nobody
