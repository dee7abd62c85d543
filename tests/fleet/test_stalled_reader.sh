#!/usr/bin/env bash
# A reader that asks for a gigabyte and stands still: what the ps keeps for it stays bounded, it is named and counted, the
# others go on, and once it runs again it is served like anybody.
source "$(dirname "$0")/fleet.sh"

pulls=32768 # of a table of 8192 elements, 32 KiB: 1 GiB of answers
most_mb=160 # its limit is 32 MiB at this memory limit; what the allocator keeps, and a busy machine, need some more
job=$tmp/job
mkdir "$job"
address=tcp://127.0.0.1:$(free_port)
declare -A pid

status_now() { "$rubato" status --scheduler "$address" --json 2>/dev/null || true; }
resident_mb() { awk '$1 == "VmRSS:" { print int($2 / 1024) }' "/proc/${pid[ps]}/status"; }
reads() { cat "$job/worker-$1.history" 2>/dev/null | grep -c " R " || true; }
reads_more() { (($(reads "$1") > $2 + 50)); }
goes_on() { wait_until 30 reads_more "$1" "$(reads "$1")" || fail "worker $1 does not go on: $(tail -n 3 "$job/worker-$1.log")"; }

"$rubato" scheduler --scheduler "$address" --workers 2 --n-shards 1 --staleness 2 --store-dir "$job/scheduler" >"$job/scheduler.log" 2>&1 &
pid[scheduler]=$!
"$rubato" ps --scheduler "$address" --n-shards 1 --memory-limit 64M --store-dir "$job/ps" >"$job/ps.log" 2>&1 &
pid[ps]=$!
for rank in 0 1; do
    "$build/tests/ledger_worker" --scheduler "$address" --workers 2 --rank "$rank" --rest-us 2000 --stop "$job/stop" \
        --log "$job/worker-$rank.history" >"$job/worker-$rank.log" 2>&1 &
    pid[worker-$rank]=$!
done
for rank in 0 1; do goes_on "$rank"; done
shard=$(sed -nE 's/.*listens on (tcp:[^,]*),.*/\1/p' "$job/ps.log")
before_mb=$(resident_mb)

claim "what a reader asks for and does not read stays within its limit, while the others go on"
"$build/tests/zmq_greedy_reader" "$shard" 2 8192 "$pulls" >"$job/reader.log" 2>&1 &
pid[reader]=$!
wait_until 30 says "$job/reader.log" '^asked' || fail "the reader did not ask: $(cat "$job/reader.log")"
greatest_mb=0
for _ in {1..30}; do
    now_mb=$(resident_mb)
    ((greatest_mb >= now_mb)) || greatest_mb=$now_mb
    sleep 0.1
done
((greatest_mb - before_mb <= most_mb)) || fail "the ps grew by $((greatest_mb - before_mb)) MB, at most $most_mb"
for rank in 0 1; do goes_on "$rank"; done

claim "it is named in the log and counted in the status"
says "$job/ps.log" 'a reader, peer [0-9]+, does not read: [0-9]+ bytes of answers wait for it, limit 33554432' ||
    fail "nobody says so: $(cat "$job/ps.log")"
is_counted() { (($(total cut_off <<<"$(status_now)") >= 1)); }
wait_until 30 is_counted || fail "no cut_off in $(status_now)"
(($(grep -c 'does not read' "$job/ps.log") < 10)) || fail "the log is filled: $(wc -l <"$job/ps.log") lines"

claim "it runs again, and is served"
kill -CONT "${pid[reader]}"
expect_end "${pid[reader]}" 0 60
((0 < $(sed -nE 's/^read ([0-9]+) answers$/\1/p' "$job/reader.log"))) || fail "it read nothing: $(cat "$job/reader.log")"

claim "a reader that stands still for long loses its connection, and the ps what it kept"
"$build/tests/zmq_greedy_reader" "$shard" 2 8192 "$pulls" >"$job/reader.log" 2>&1 &
pid[reader]=$!
wait_until 30 says "$job/reader.log" '^asked' || fail "the reader did not ask: $(cat "$job/reader.log")"
connections() { ss -tnH state established "sport = :${shard##*:}" | wc -l; }
if command -v ss >/dev/null; then
    with=$(connections)
    is_dropped() { (($(connections) < with)); }
    wait_until 30 is_dropped || fail "after 30 s its connection still stands: $(ss -tnH "sport = :${shard##*:}")"
fi
for rank in 0 1; do goes_on "$rank"; done
kill -CONT "${pid[reader]}"
expect_end "${pid[reader]}" 0 60

touch "$job/stop"
for name in worker-0 worker-1 ps scheduler; do
    expect_end "${pid[$name]}" 0 30
done
expect 0 '"law":"none"' "$build/rubato-history" --json "$job"/*.history
expect_nobody
printf '{"asked_mb":%d,"grown_mb":%d}\n' "$((pulls / 32))" "$((greatest_mb - before_mb))"
