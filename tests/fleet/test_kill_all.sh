#!/usr/bin/env bash
# Scheduler, ps and workers of a run are killed with kill -9 at the same moment, and all of them come back.
source "$(dirname "$0")/fleet.sh"

claim "kill -9 of everybody but train itself"
run=$tmp/all
start_run "$run" --ps 2 --staleness 4 --epochs 2
wait_trained "$run" 1000
kill_member "$run" scheduler
kill_member "$run" worker "--rank 0"
kill_member "$run" worker "--rank 1"
kill_member "$run" ps "--first-shard 1"
expect_end "$train" 0
expect_before "$run/scheduler.log" 'generation 2' 'all workers are done'
expect_value "$run" status ok
expect_value "$run" restarts 4
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect_nobody
