#!/usr/bin/env bash
# Ctrl-C drains, checkpoints and leaves; a second one leaves now; SIGTERM is the same with its own code; and when
# `rubato train` itself is killed, nobody stays behind.
source "$(dirname "$0")/fleet.sh"

leaves_s=30 # for draining and checkpointing; the second signal must be faster than any grace

interrupted() { # interrupted NAME SIGNAL CODE
    claim "$2: drains, checkpoints, leaves with $3"
    run=$tmp/$1
    start_run "$run" --epochs 1000
    wait_trained "$run" 500
    expect 0 'snapshot 1 in' "$rubato" snapshot save "$run"
    kill "-$2" "$train"
    expect_end "$train" "$3" "$leaves_s"
    nobody_is_left || fail "children outlive rubato train: $(processes)"
    expect_value "$run" status interrupted
    expect_value "$run" exit_code "$3"
    expect_value "$run" reason interrupted
    says "$run.out" 'interrupted: workers drain, ps checkpoint' || fail "nothing was said: $(cat "$run.out")"
    says "$run.err" "go on with .* train $run_file --set epochs=1000 --resume $run/snapshots/000001" ||
        fail "it does not say how to go on: $(cat "$run.err")"
    for ps in 0 1; do
        says "$run/ps-$ps.log" 'let this shard go' || fail "ps $ps did not leave in order: $(cat "$run/ps-$ps.log")"
        says "$run/scheduler.log" "shard $ps has finished: [1-9][0-9]* rows" || fail "ps $ps stored nothing: $(cat "$run/scheduler.log")"
        says "$run/worker-$ps.log" 'stopped by a signal' || fail "worker $ps did not drain: $(cat "$run/worker-$ps.log")"
    done
    rm -rf "$run"
}
interrupted ctrl-c INT 130
interrupted terminated TERM 143

claim "Ctrl-C before anybody trains: leaves long before the grace"
for after_s in 0 0.05 0.1 0.2 0.4; do
    run=$tmp/early
    start_run "$run" --epochs 1000 --grace 60s
    wait_until "$patience_s" test -e "$run/scheduler.log" || fail "no scheduler was started: $(cat "$run.err")"
    sleep "$after_s"
    kill -INT "$train"
    expect_end "$train" 130 "$leaves_s"
    nobody_is_left || fail "children outlive rubato train: $(processes)"
    rm -rf "$run"
done

claim "Ctrl-C twice: leaves now"
run=$tmp/twice
start_run "$run" --epochs 1000
wait_trained "$run" 500
members=$(processes "--config $run/config.yaml")
(($(wc -w <<<"$members") == 5)) || fail "not 5 members: $members"
kill -STOP $members # nobody can leave in order: only the second signal can end this before the grace
kill -INT "$train"
wait_until "$patience_s" says "$run.out" 'once more to leave now' || fail "the first Ctrl-C was not heard: $(cat "$run.out")"
sleep 0.2
kill -INT "$train"
expect_end "$train" 130 8
nobody_is_left || fail "children outlive rubato train: $(processes)"
expect_value "$run" status interrupted
rm -rf "$run"

claim "kill -9 of rubato train: its children go with it"
run=$tmp/killed
start_run "$run" --epochs 1000
wait_trained "$run" 500
kill -9 "$train"
expect_end "$train" 137 8 2>/dev/null
expect_nobody
