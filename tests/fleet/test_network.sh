#!/usr/bin/env bash
# A network that misbehaves: workers reach shard 1, and the scheduler, through relays that delay, throttle, cut in the middle
# of a message, stall one way, accept and say nothing, or flip bits. The ledger's laws hold, who is missing is named
# within 5 s, and all goes on after healing.
source "$(dirname "$0")/fleet.sh"

ledger=$build/tests/ledger_worker
declare -A pid to

proxy() { # proxy NAME LISTEN TARGET SEED: commands go to ${to[NAME]}, answers to $job/proxy-NAME
    mkfifo "$job/pipe-$1"
    "$build/tests/fault_proxy" "$2" "$3" "$4" <"$job/pipe-$1" >"$job/proxy-$1" 2>&1 &
    pid[proxy-$1]=$!
    local fd
    exec {fd}>"$job/pipe-$1"
    to[$1]=$fd
    wait_until "$patience_s" says "$job/proxy-$1" '^ready' || fail "no relay: $(cat "$job/proxy-$1")"
}
tell() { # tell NAME COMMAND: returns when it holds
    local answers
    answers=$(wc -l <"$job/proxy-$1")
    has_answered() { (($(wc -l <"$job/proxy-$1") > $2)); }
    echo "$2" >&"${to[$1]}"
    wait_until "$patience_s" has_answered "$1" "$answers" || fail "the relay does not answer '$2'"
}
figure() { tail -n 1 "$job/proxy-$1" | sed -nE "s/.* $2=([0-9]+).*/\1/p"; } # figure NAME WHAT

start_job() { # start_job NAME
    job=$tmp/$1
    mkdir "$job"
    local own=$(free_port) seen=$(free_port) shard=$(free_port) shard_seen=$(free_port)
    inside=tcp://127.0.0.1:$own outside=tcp://127.0.0.1:$seen shard_at=tcp://127.0.0.1:$shard_seen
    "$rubato" scheduler --scheduler "$inside" --workers 2 --n-shards 2 --staleness 2 --lease 3s --store-dir "$job/scheduler" >"$job/scheduler.log" 2>&1 &
    pid[scheduler]=$!
    "$rubato" ps --scheduler "$inside" --n-shards 2 --first-shard 0 --store-dir "$job/ps-0" >"$job/ps-0.log" 2>&1 &
    pid[ps-0]=$!
    "$rubato" ps --scheduler "$inside" --n-shards 2 --first-shard 1 --lane tcp --port "$shard" --advertise "127.0.0.1:$shard_seen" \
        --store-dir "$job/ps-1" >"$job/ps-1.log" 2>&1 &
    pid[ps-1]=$!
    proxy scheduler "$seen" "$own" 7
    proxy shard "$shard_seen" "$shard" 8
    for rank in 0 1; do start_worker "$rank" 1; done
    for rank in 0 1; do goes_on "$rank" 60; done
    says "$job/ps-1.log" "known as $shard_at" || fail "shard 1 is not known by its relay: $(cat "$job/ps-1.log")"
}
start_worker() { # start_worker RANK NUMBER
    "$ledger" --scheduler "$outside" --workers 2 --rank "$1" --seed "$1" --rest-us 1000 --stop "$job/stop" --patience-ms "${patience_ms:-30000}" \
        --log "$job/worker-$1.$2.history" >>"$job/worker-$1.log" 2>&1 &
    pid[worker-$1]=$!
}
reads() { cat "$job/worker-$1".*.history 2>/dev/null | grep -c ' R ' || true; }
reads_more() { (($(reads "$1") > $2)); }
goes_on() { # goes_on RANK SECONDS
    local before
    before=$(reads "$1")
    wait_until "$2" reads_more "$1" "$((before + 20))" || fail "worker $1 does not go on: $(tail -n 5 "$job/worker-$1.log" "$job/scheduler.log")"
}
stands_still() { # nobody gets more than what was under way
    sleep 1
    local before
    before=$(reads 0)
    sleep 0.5
    (($(reads 0) <= before + 3)) || fail "the fault '$1' stops nobody: it is none"
}
named() { expect_named "$job/worker-0.log" "$marked" "$1"; } # in what worker 0 has said since marked
mark() { marked=$(lines_of "$job/worker-0.log"); }

start_job laws

claim "delay and throttle: slower, and nothing else"
tell shard "delay 20"
goes_on 0 20
tell shard heal
tell shard "throttle 1000000"
goes_on 1 20
tell shard heal

claim "cut in the middle of a message, again and again"
cuts() { tell shard stat && figure shard cuts; }
cuts_more() { (($(cuts) > $1)); }
for bytes in 1 63 1000 4097 20000 65537 150000; do
    had=$(cuts)
    tell shard "cut $bytes"
    wait_until "$patience_s" cuts_more "$had" || fail "the relay cuts nothing after $bytes bytes: $(tail -n 1 "$job/proxy-shard")"
done
tell shard heal
goes_on 0 30
goes_on 1 30

for way in up down; do
    claim "a one-way stall ($way): named, and over after healing"
    mark
    tell shard "stall $way"
    stands_still "stall $way"
    # A worker whose last words came through hears from the shard that the other's did not.
    named "shard 1 at $shard_at|answer of shard 1|shard 1 to acknowledge|for rank 1 on shard 1"
    tell shard heal
    goes_on 0 30
    goes_on 1 30
done

claim "half open: connections are taken and nobody is behind them"
mark
tell shard half
stands_still half
named "waiting for shard 1 at $shard_at"
tell shard heal
goes_on 0 30

claim "the scheduler out of reach: named, while the training goes on"
mark
tell scheduler half
named 'waiting for the scheduler'
goes_on 0 20
goes_on 1 20
tell scheduler heal
sleep 1
goes_on 0 20

claim "nobody was evicted, and the ledger agrees with all that"
says "$job/scheduler.log" 'is evicted' && fail "somebody was evicted: $(grep evicted "$job/scheduler.log")"
touch "$job/stop"
for name in worker-0 worker-1 ps-0 ps-1 scheduler; do expect_end "${pid[$name]}" 0 30; done
expect 0 '"law":"none"' "$build/rubato-history" --json "$job"/*.history
cat "$tmp/said"
for name in scheduler shard; do fd=${to[$name]}; exec {fd}>&-; done
expect_nobody

claim "flipped bits on the wire: nothing crashes, and sessions that begin after it work"
patience_ms=8000
start_job flips
tell shard "flip 3000"
tell scheduler "flip 100"
n=1
tend() { # who is thrown out by what a flip made of his words is followed by another
    local rank code
    for rank in 0 1; do
        has_ended "${pid[worker-$rank]}" || continue
        code=0
        wait "${pid[worker-$rank]}" || code=$?
        ((code > 0 && code < 128 || code == 130)) || fail "worker $rank ended with $code: $(tail -n 5 "$job/worker-$rank.log")"
        start_worker "$rank" $((++n))
    done
}
flips_of() { tell "$1" stat && figure "$1" flips; }
flipped_enough() { tend && (($(flips_of shard) >= 20 && $(flips_of scheduler) >= 1)); }
for ((i = 0; i < 60; i++)); do
    sleep 0.1
    tend
done
wait_until "$patience_s" flipped_enough || fail "only $(flips_of shard) and $(flips_of scheduler) bits were flipped"
flips=$(flips_of shard)
tell shard heal
tell scheduler heal
tell scheduler stat
for name in scheduler ps-0 ps-1; do
    ! has_ended "${pid[$name]}" || fail "$name has ended: $(tail -n 5 "$job/$name.log")"
done
"$ledger" --scheduler "$outside" --workers 2 --reader 2 --stop "$job/stop" --patience-ms 40000 --log "$job/reader.history" >"$job/reader.log" 2>&1 &
pid[reader]=$!
reader_reads() { tend; [[ -e $job/reader.history ]] && (($(grep -c " R " "$job/reader.history") > 20)); }
wait_until 60 reader_reads || fail "a reader that came after the healing gets no answers: $(cat "$job/reader.log")"
# Values that were changed on their way are in the ledger now: TCP's checksum is all that guards them.
printf '{"bits_flipped_on_data":%d,"on_control":%d,"workers_started":%d,"law_broken_by_flips":"%s"}\n' "$flips" "$(figure scheduler flips)" $((n + 1)) \
    "$("$build/rubato-history" --json "$job"/worker*.history 2>/dev/null | value law)"
