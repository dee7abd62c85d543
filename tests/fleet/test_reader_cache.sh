#!/usr/bin/env bash
# A reader that keeps rows, beside a trainer that changes them, on a real fleet whose ps is killed and comes back: no row is
# older than the bound, none ever falls, and most pulls need no shard.
source "$(dirname "$0")/fleet.sh"

address=tcp://127.0.0.1:$(free_port)
start_ps() {
    "$rubato" ps --scheduler "$address" --ps 1 --shards 2 --store-dir "$tmp/ps" >>"$tmp/ps.log" 2>&1 &
    ps=$!
}
"$rubato" scheduler --scheduler "$address" --workers 1 --ps 1 --shards 2 --store-dir "$tmp/scheduler" >"$tmp/scheduler.log" 2>&1 &
scheduler=$!
start_ps

claim "rows are kept, and no law is broken while the ps is killed and started again"
"$build/tests/cached_reader" "$address" 6 >"$tmp/said" 2>&1 &
reader=$!
for _ in 1 2; do
    wait_until 20 says "$tmp/ps.log" 'in touch with the scheduler' || fail "no ps: $(cat "$tmp/ps.log")"
    read -rt 2 -u "$never" || true
    kill -9 "$ps"
    wait "$ps" 2>/dev/null || true
    start_ps
done
expect_end "$reader" 0
cat "$tmp/said"
pulls=$(value pulls <"$tmp/said") hits=$(value hits <"$tmp/said") misses=$(value misses <"$tmp/said")
((pulls > 100)) || fail "hardly a pull: $(cat "$tmp/said")"
((hits + misses == pulls * 64)) || fail "hits and misses are not what was pulled"
((hits > 5 * misses)) || fail "hardly a hit"
(($(value bytes <"$tmp/said") <= 65536)) || fail "more memory than was allowed"
(($(value reconnects <"$tmp/said") >= 2)) || fail "the ps was not away"
expect_end "$scheduler" 0
expect_nobody
