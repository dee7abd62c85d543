#!/usr/bin/env bash
# Partitions by packet filter, without any reset or end of a connection: scheduler, ps and workers each live in a network of
# their own (ip netns, veth, one bridge), and nft drops what goes between two of them. Skipped where that is not allowed.
source "$(dirname "$0")/fleet.sh"

skip() {
    echo "skipped: $*"
    exit 0
}
((EUID == 0)) || skip "namespaces of the network need root"
command -v ip >/dev/null || skip "no ip (package iproute2)"
command -v nft >/dev/null || skip "no nft (package nftables; scripts/install-packages --dev)"

tag=rt$((BASHPID % 100000))
spaces=()
leave() { # the status of who leaves goes on to fleet.sh's own end, which finds the processes
    local code=$? space
    for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
    (exit "$code") && finish
    (exit "$code") || finish
}
trap leave EXIT

network() { # network NAME ADDRESS: a namespace on the bridge
    ip netns add "$tag-$1" && spaces+=("$tag-$1")
    ip link add "$tag$1" netns "$tag-hub" type veth peer name eth0 netns "$tag-$1"
    ip netns exec "$tag-hub" ip link set "$tag$1" master hub up
    ip netns exec "$tag-$1" ip addr add "$2/24" dev eth0
    ip netns exec "$tag-$1" ip link set eth0 up
    ip netns exec "$tag-$1" ip link set lo up
}
# needs WHAT COMMAND...: skips with the command's own sentence, which says why this machine has it not.
needs() {
    local said
    said=$("${@:2}" 2>&1) || skip "$1: ${said:-exit code $?}"
}
needs "a network of one's own" ip netns add "$tag-hub"
spaces+=("$tag-hub")
needs "a bridge" ip netns exec "$tag-hub" ip link add hub type bridge
ip netns exec "$tag-hub" ip link set hub up
network s 10.77.0.1
network p 10.77.0.2
network q 10.77.0.3
network w 10.77.0.4
network v 10.77.0.5
needs "a packet filter" ip netns exec "$tag-w" nft list ruleset

# drop NAME FROM: what comes from that address does not arrive in the network; heal NAME ends it.
drop() {
    ip netns exec "$tag-$1" nft -f - <<NFT
table ip cut { chain in { type filter hook input priority 0; ip saddr { $2 } drop; }; }
NFT
}
heal() { ip netns exec "$tag-$1" nft delete table ip cut; }
both() { drop "$1" "$3" && drop "$2" "$4"; } # both NAME NAME ADDRESS-OF-SECOND ADDRESS-OF-FIRST

lease_ms=3000
job=$tmp/job
mkdir "$job"
ledger=$build/tests/ledger_worker
declare -A pid
within() { ip netns exec "$tag-$1" "${@:2}"; }
within s "$rubato" scheduler --scheduler tcp://10.77.0.1:5555 --workers 2 --n-shards 2 --staleness 2 --lease "$lease_ms"ms --grace 30s \
    --store-dir "$job/scheduler" >"$job/scheduler.log" 2>&1 &
pid[scheduler]=$!
n=0
for space in p q; do
    within $space "$rubato" ps --scheduler tcp://10.77.0.1:5555 --n-shards 2 --first-shard $n --listen "*" --advertise "10.77.0.$((n + 2))" \
        --grace 30s --store-dir "$job/ps-$n" >"$job/ps-$n.log" 2>&1 &
    pid[ps-$n]=$!
    n=$((n + 1))
done
start_worker() { # start_worker SPACE RANK NUMBER
    within "$1" "$ledger" --scheduler tcp://10.77.0.1:5555 --workers 2 --rank "$2" --seed "$2" --rest-us 1000 --stop "$job/stop" \
        --patience-ms 60000 --log "$job/worker-$2.$3.history" >>"$job/worker-$2.log" 2>&1 &
    pid[worker-$2]=$!
}
start_worker w 0 1
start_worker v 1 1
reads() { cat "$job/worker-$1".*.history 2>/dev/null | grep -c ' R ' || true; }
reads_more() { (($(reads "$1") > $2 + 20)); }
goes_on() { wait_until "$2" reads_more "$1" "$(reads "$1")" || fail "worker $1 does not go on: $(tail -n 5 "$job/worker-$1.log" "$job/scheduler.log")"; }
evictions() { grep -c 'is evicted' "$job/scheduler.log" || true; }
named() { expect_named "$job/worker-0.log" "$marked" "$1"; }
mark() { marked=$(lines_of "$job/worker-0.log"); }
goes_on 0 60
goes_on 1 60

claim "the scheduler parted from the workers: named, nobody evicted, the training goes on"
mark
both s w "10.77.0.4, 10.77.0.5" 10.77.0.1
drop v 10.77.0.1
named 'the scheduler, silent'
sleep 4
goes_on 0 20
goes_on 1 30
for space in s w v; do heal $space; done
goes_on 0 30
(($(evictions) == 0)) || fail "somebody was evicted: $(grep evicted "$job/scheduler.log")"

claim "all workers parted from one ps: it is named, nobody evicted, all go on after healing"
mark
drop q "10.77.0.4, 10.77.0.5"
named 'shard 1'
sleep 4
heal q
goes_on 0 30
goes_on 1 30
(($(evictions) == 0)) || fail "somebody was evicted: $(grep evicted "$job/scheduler.log")"

claim "a one-way drop: what the ps says does not reach the workers"
mark
drop w 10.77.0.3
drop v 10.77.0.3
named 'shard 1'
heal w
heal v
goes_on 0 30
goes_on 1 30
(($(evictions) == 0)) || fail "somebody was evicted: $(grep evicted "$job/scheduler.log")"

are_evicted() { (($(evictions) == $1)); }
claim "one worker parted from one ps alone: it is evicted and told so, and the other goes on"
both q v 10.77.0.5 10.77.0.3
wait_until "$patience_s" are_evicted 1 || fail "nobody is evicted: $(cat "$job/scheduler.log")"
grep -q 'rank 1 .*silent for a lease at a shard' "$job/scheduler.log" || fail "another was meant: $(grep evicted "$job/scheduler.log")"
goes_on 0 30
expect_end "${pid[worker-1]}" 77 20
heal q
heal v
start_worker v 1 2
goes_on 1 30

claim "one worker parted from everybody: it is evicted, the other goes on, and the lost one is fenced when it is back"
drop v "10.77.0.1, 10.77.0.2, 10.77.0.3"
wait_until "$patience_s" are_evicted 2 || fail "nobody is evicted: $(cat "$job/scheduler.log")"
goes_on 0 30
heal v
expect_end "${pid[worker-1]}" 77 20
start_worker v 1 3
goes_on 1 30

claim "the ledger agrees with all that"
touch "$job/stop"
for name in worker-0 worker-1 ps-0 ps-1 scheduler; do expect_end "${pid[$name]}" 0 30; done
expect 0 '"law":"none"' "$build/rubato-history" --json "$job"/*.history
cat "$tmp/said"
expect_nobody
