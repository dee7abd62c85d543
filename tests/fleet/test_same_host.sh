#!/usr/bin/env bash
# Shared memory between workers and ps of one host: chosen by itself, seen in status and log, given up where it cannot be
# had, equal to tcp bit for bit, and gone without a trace when its processes are killed.
source "$(dirname "$0")/fleet.sh"

# Not what other tests have there, disks of crash images.
shared_files() { find /dev/shm -mindepth 1 -not -path '/dev/shm/rubato-crash-*' 2>/dev/null | sort; }
before=$(shared_files)
lanes_of() { status "$1" | total lanes; }
has_lanes() { (($(lanes_of "$1") == $2)); } # has_lanes RUN_DIR NUMBER

claim "auto: every worker has a lane to every shard, and the log says so"
run=$tmp/auto
start_run "$run" --ps 2 --workers 2 --epochs 1000
wait_trained "$run" 300
wait_until 30 has_lanes "$run" 4 || fail "not 4 lanes: $(status "$run")"
expect 0 '^shard 1: values of 2 sessions come through shared memory' "$rubato" status --scheduler "$(address_of "$run")"
for ps in 0 1; do
    says "$run/ps-$ps.log" 'values of peer [0-9]+ come through shared memory$' || fail "ps $ps said nothing: $(cat "$run/ps-$ps.log")"
done

claim "a killed worker's lane ends, and its successor has one"
kill_member "$run" worker '--rank 1'
is_back() { [[ -n $(member "$run" worker '--rank 1') ]] && has_lanes "$run" 4; }
wait_until 30 is_back || fail "no 4 lanes again: $(status "$run")"

claim "a killed ps's lanes come again, and the training goes on"
kill_member "$run" ps '--first-shard 1'
now=$(status "$run" | total pushes)
wait_trained "$run" $((now + 300))
wait_until 30 has_lanes "$run" 4 || fail "no 4 lanes again: $(status "$run")"

claim "when all are killed nothing is left behind"
kill -9 "$train" $(processes "--config $run/config.yaml")
expect_nobody
[[ $(shared_files) == "$before" ]] || fail "in /dev/shm: $(diff <(echo "$before") <(shared_files))"
rm -rf "$run"

claim "tcp: no lanes"
run=$tmp/none
start_run "$run" --ps 1 --workers 1 --epochs 1000 --lane tcp
wait_trained "$run" 300
has_lanes "$run" 0 || fail "there are lanes: $(status "$run")"
kill -INT "$train"
expect_end "$train" 130
rm -rf "$run"

claim "bsp: the same bits through memory and through tcp"
for lane in tcp shm; do
    start_run "$tmp/$lane" --ps 2 --workers 2 --staleness bsp --epochs 1 --lane "$lane"
    expect_end "$train" 0
done
[[ $(result "$tmp/tcp" weights_crc) == "$(result "$tmp/shm" weights_crc)" ]] || fail "$(result "$tmp/tcp" weights_crc) through tcp, $(result "$tmp/shm" weights_crc) through memory"
[[ -n $(result "$tmp/shm" weights_crc) ]] || fail "no weights_crc: $(cat "$tmp/shm/result.json")"

claim "and through Unix sockets, while a ps is killed: its successor listens under another name, and no file is left"
start_run "$tmp/ipc" --ps 2 --workers 2 --staleness bsp --epochs 1 --lane tcp --listen ipc
wait_trained "$tmp/ipc" 50
sockets() { status "$tmp/ipc" | grep -Eo '"address":"ipc://@rubato-[0-9a-f]{16}-shard-[01]"'; }
[[ $(sockets | wc -l) == 2 ]] || fail "not two shards on Unix sockets: $(status "$tmp/ipc")"
first=$(sockets)
kill_member "$tmp/ipc" ps '--first-shard 1'
has_moved() { [[ $(sockets | wc -l) == 2 && $(sockets) != "$first" ]]; }
wait_until 30 has_moved || fail "shard 1 is where it was: $(status "$tmp/ipc")"
expect_end "$train" 0
[[ $(result "$tmp/ipc" weights_crc) == "$(result "$tmp/tcp" weights_crc)" ]] || fail "$(result "$tmp/ipc" weights_crc) through ipc, $(result "$tmp/tcp" weights_crc) through tcp"
expect 2 'port: a Unix socket \(listen: ipc\) has a name of its own' "$rubato" ps --listen ipc --port 7000

start_ps() { # start_ps NAME COMMAND...: a job of one shard whose ps is started by that command
    job=$tmp/$1
    mkdir "$job"
    address=tcp://127.0.0.1:$(free_port)
    "$rubato" scheduler --scheduler "$address" --workers 1 --ps 1 --store-dir "$job/scheduler" >"$job/scheduler.log" 2>&1 &
    scheduler=$!
    "${@:2}" "$rubato" ps --scheduler "$address" --ps 1 --store-dir "$job/ps" ${flags:-} >"$job/ps.log" 2>&1 &
    wait_until 20 says "$job/ps.log" 'in touch with the scheduler' || fail "no ps: $(cat "$job/ps.log")"
}
worker() { expect "$1" "$2" "$rubato" worker --config "$job/run.yaml" --scheduler "$address" --lane "$3"; }

claim "shm: who cannot have memory is refused with a sentence"
flags='--lane tcp' start_ps refused env
sed -e 's/^  epochs: .*/  epochs: 1/' "$run_file" >"$job/run.yaml"
worker 77 'lane shm: shard 0 offers none within 3 s' shm
kill -9 "$scheduler" $(processes ' ps --scheduler')
expect_nobody

unshare --pid --fork --mount-proc true 2>/dev/null || {
    echo "no namespaces of processes here: what is walled off is not tried"
    exit 0
}
claim "walled off from each other on one host: through tcp, and the ps says why"
start_ps walled unshare --pid --fork --mount-proc
sed -e 's/^  epochs: .*/  epochs: 1/' "$run_file" >"$job/run.yaml"
worker 0 'done' auto
says "$job/ps.log" 'values of peer [0-9]+ come through its connection: /proc/[0-9]+/fd/' || fail "ps said nothing: $(cat "$job/ps.log")"
wait_until 20 nobody_is_left || fail "left: $(processes)"
