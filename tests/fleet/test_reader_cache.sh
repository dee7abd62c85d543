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
"$build/tests/cached_reader" "$address" "$tmp/stop" >"$tmp/said" 2>&1 &
reader=$!
pushed() { grep -Eo '^so far [0-9]+' "$tmp/said" | sed -n '$s/.* //p' | grep . || echo 0; }
goes_on() { has_ended "$reader" || (($(pushed) > $1 + 100)); }
for _ in 1 2; do
    wait_until "$patience_s" goes_on "$(pushed)" || fail "nobody reads: $(cat "$tmp/said" "$tmp/ps.log")"
    read -rt 1 -u "$never" || true # longer than a row may be kept
    kill -9 "$ps"
    wait "$ps" 2>/dev/null || true
    start_ps
done
wait_until "$patience_s" goes_on "$(pushed)" || fail "nobody reads again: $(cat "$tmp/said" "$tmp/ps.log")"
touch "$tmp/stop"
expect_end "$reader" 0
sed -i '/^so far/d' "$tmp/said"
cat "$tmp/said"
pulls=$(value pulls <"$tmp/said") hits=$(value hits <"$tmp/said") misses=$(value misses <"$tmp/said")
((pulls > 100)) || fail "hardly a pull: $(cat "$tmp/said")"
((hits + misses == pulls * 64)) || fail "hits and misses are not what was pulled"
((hits > 5 * misses)) || fail "hardly a hit"
(($(value bytes <"$tmp/said") <= 65536)) || fail "more memory than was allowed"
(($(value reconnects <"$tmp/said") >= 2)) || fail "the ps was not away"
expect_end "$scheduler" 0
expect_nobody
