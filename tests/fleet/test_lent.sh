#!/usr/bin/env bash
# Arrays that were lent: a ps is killed with kill -9 while pushes from them are under way, and started again. What was not
# acknowledged is sent again from the same arrays, what was given back is not: the sums are exact.
source "$(dirname "$0")/fleet.sh"

run=$tmp/run
start_ps() {
    "$rubato" ps --scheduler "$address" --ps 1 --first-shard 0 --run-dir "$run" >>"$tmp/ps.log" 2>&1 &
    ps=$!
}
rounds() { sed -n '$s/ rounds$//p' "$tmp/ledger.out" | grep . || echo 0; }
goes_on() { (($(rounds) > $1)); }
wait_rounds() { wait_until "$patience_s" goes_on "$1" || fail "the ledger does not go on behind $1: $(cat "$tmp"/ledger.{out,err} "$tmp/ps.log")"; }

"$rubato" scheduler --scheduler tcp://127.0.0.1:0 --ps 1 --workers 1 --run-dir "$run" >"$tmp/scheduler" 2>&1 &
scheduler=$!
wait_until "$patience_s" says "$tmp/scheduler" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler")"
address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler")
start_ps
touch "$tmp/goes"
"$build/tests/lent_ledger" "$address" "$tmp/goes" >"$tmp/ledger.out" 2>"$tmp/ledger.err" &
ledger=$!
wait_rounds 0

for kill in 1 2 3; do
    claim "kill -9 of the ps, time $kill"
    kill -9 "$ps"
    expect_end "$ps" 137 2>/dev/null
    start_ps
    wait_rounds "$(($(rounds) + 10))"
done

claim "sums are exact"
rm "$tmp/goes"
expect_end "$ledger" 0
grep -Eq '^[0-9]+ rounds, 0 refused, ([3-9]|[1-9][0-9]+) reconnects$' "$tmp/ledger.out" || fail "the end: $(cat "$tmp/ledger.out")"
expect_end "$ps" 0
kill "$scheduler" # the job is done: nobody wants to look at it
expect_end "$scheduler" 0
expect_nobody
