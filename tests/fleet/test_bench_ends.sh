#!/usr/bin/env bash
# However a measurement ends, it leaves no process, and no folder but a failure's, for its logs: signals at any moment, a
# disk that is full, a machine without shared memory. Each runs with a /tmp of its own, in a mount namespace.
source "$(dirname "$0")/fleet.sh"

own=$tmp/own
mkdir "$own"
space=(unshare --mount --map-root-user)
"${space[@]}" mount --bind "$own" /tmp 2>/dev/null || {
    echo "skipped: who runs this may not make a mount namespace"
    exit 0
}

# "${bench[@]}" MOUNTS ARGUMENTS...: `rubato bench ARGUMENTS` behind the shell commands MOUNTS. The program is run from /mnt,
# because its build may lie in /tmp.
export own built=$build
# shellcheck disable=SC2016 # the inner shell expands
bench=("${space[@]}" bash -c 'mount --bind "$built" /mnt && eval "$0" && exec /mnt/rubato bench "$@"')
build=/mnt # that is where the processes of this test say they are from
# shellcheck disable=SC2016 # as above
own_tmp='mount --bind "$own" /tmp'

nothing_is_left() {
    expect_nobody 5
    [[ -z $(ls -A "$own") ]] || fail "$1 leaves $(ls -R "$own")"
}

# Whether a process has a handler for SIGINT and SIGTERM: before that, a signal is no matter of ours. (Shells start what is
# in the background with SIGINT ignored.)
listens() {
    local caught
    caught=$(sed -nE 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
    [[ -n $caught ]] && (((16#$caught & 0x4002) == 0x4002))
}

# interrupted SIGNAL CODE SECONDS ARGUMENTS...: so long after it has begun to listen
interrupted() {
    "${bench[@]}" "$own_tmp" "${@:4}" >"$tmp/said" 2>&1 &
    local pid=$!
    wait_until "$patience_s" listens "$pid" || fail "bench ${*:4} hears no signals: $(cat "$tmp/said")"
    sleep "$3"
    kill "-$1" "$pid" || fail "bench ${*:4} has ended before $3 s: $(cat "$tmp/said")"
    expect_end "$pid" "$2" # that it was interrupted, its code and its words say
    says "$tmp/said" '^rubato bench: interrupted$' || fail "bench ${*:4} after $3 s: $(cat "$tmp/said")"
    nothing_is_left "bench ${*:4}, interrupted after $3 s,"
}

claim "Ctrl-C ends a measurement at any moment, without a process or a file left"
interrupted INT 130 0.3 train
interrupted TERM 143 2 staleness
interrupted INT 130 2 codecs int8
for seconds in 0.2 2; do interrupted INT 130 "$seconds" pushpull push_10k tiny_1; done
for seconds in 0.3 7; do interrupted INT 130 "$seconds" durability push_dense; done
interrupted TERM 143 6 durability snapshot
interrupted INT 130 2 durability training
for seconds in 0.5 4; do interrupted INT 130 "$seconds" recover hashed_stored; done
interrupted INT 130 3 recover scheduler
interrupted INT 130 0.5 store random_64
interrupted INT 130 0.5 store memory

claim "a killed measurement takes its processes along"
"${bench[@]}" "$own_tmp" durability push_dense >"$tmp/said" 2>&1 &
pid=$!
wait_until "$patience_s" listens "$pid" || fail "it hears no signals: $(cat "$tmp/said")"
sleep 1.5
kill -9 "$pid"
expect_end "$pid" 137
expect_nobody 5
rm -rf "${own:?}"/*

claim "a full disk is named, with exit code 74, and where the logs are"
expect 74 "^rubato bench: .*[Nn]o space left" "${bench[@]}" 'mount -t tmpfs -o nr_inodes=1 none /tmp' train
expect 74 "^rubato bench: logs and stores are kept in /tmp/rubato-bench-" "${bench[@]}" 'mount -t tmpfs -o size=2m none /tmp' train --repeat 1
says "$tmp/said" "^rubato bench: training ended with 74: ps 0 .* cannot reserve .*No space left" || fail "nobody names the disk: $(cat "$tmp/said")"

claim "without /dev/shm values still go through shared memory"
expect 0 '"durability":"none","lane":"shm"' "${bench[@]}" "$own_tmp && mount -t tmpfs -o ro none /dev/shm" pushpull tiny_64 --lane shm --durability none --repeat 1 --json
nothing_is_left "bench pushpull"

claim "one core is enough"
expect 0 '^tiny_1 ' taskset -c 0 "$rubato" bench pushpull tiny_1 --durability none --repeat 1
expect_nobody
