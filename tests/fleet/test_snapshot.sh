#!/usr/bin/env bash
# Snapshots are taken while a fleet trains, and the training does not notice.
source "$(dirname "$0")/fleet.sh"

save() { # save RUN_DIR: its JSON
    timeout --foreground -k 5 "$patience_s" "$rubato" snapshot save "$1" --json 2>"$tmp/said" || fail "snapshot save: $(cat "$tmp/said")"
}
pushes() { status "$1" | total pushes; }
goes_on() { (($(pushes "$1") > $2 + 50)); } # goes_on RUN_DIR PUSHES
whole() { [[ $("$rubato" snapshot ls "$1" --json | grep -Eo '"number":' | wc -l) == "$2" ]]; } # whole RUN_DIR N

claim "ssp: saved in mid-run, whole, and the training goes on"
run=$tmp/ssp
start_run "$run" --ps 2 --staleness 4 --epochs 3 --durability journal
wait_trained "$run" 500
first=$(save "$run")
second=$(save "$run")
is_json <<<"$first" || fail "not JSON: $first"
path=$(value path <<<"$first")
[[ $path == "$run/snapshots/000001" ]] || fail "the path is '$path'"
[[ -s $path/manifest && -s $path/shard-0 && -s $path/shard-1 ]] || fail "parts are missing: $(ls "$path")"
(($(value bytes <<<"$first") > 100000)) || fail "bytes: $first"
(($(value greatest_cut <<<"$first") > 0)) || fail "no clock has passed: $first"
(($(value least_cut <<<"$second") > $(value greatest_cut <<<"$first"))) || fail "the second is not later: $first $second"
[[ $(value least_cut <<<"$first") == "$(value greatest_cut <<<"$first")" ]] || fail "busy ranks have one cut: $first"
wait_until "$patience_s" goes_on "$run" "$(pushes "$run")" || fail "the training stands: $(status "$run")"
expect 0 'whole, 2 parts' "$rubato" snapshot verify "$path"
expect_end "$train" 0
expect_value "$run" status ok
expect_value "$run" restarts 0
expect_value "$run" examples 180000
(($(result "$run" max_gap) <= 4)) || fail "max_gap $(result "$run" max_gap) is above the bound of 4"
expect 0 'whole, 2 parts' "$rubato" snapshot verify "$(value path <<<"$second")"
expect 75 'has ended' "$rubato" snapshot save "$run"
expect_nobody
rm -rf "$run"

claim "async, one worker slow: each rank has its own cut; taken by themselves, the last two are kept"
run=$tmp/async
start_run "$run" --ps 2 --staleness async --epochs 6 --snapshot-interval 700ms --snapshots-kept 2
wait_trained "$run" 500
slow=$(member "$run" worker "--rank 1")
kill -STOP "$slow"
sleep 1
kill -CONT "$slow"
by_hand=$(save "$run")
(($(value least_cut <<<"$by_hand") > 0)) || fail "a rank has not begun: $by_hand"
wait_until "$patience_s" says "$run/scheduler.log" 'snapshot [5-9] is whole' || fail "none by itself: $(grep snapshot "$run/scheduler.log")"
expect_end "$train" 0
expect_value "$run" status ok
whole "$run" 3 || fail "two of its own and the one by hand: $("$rubato" snapshot ls "$run")"
[[ -s $(value path <<<"$by_hand")/manifest ]] || fail "the one by hand is gone"
expect_nobody
rm -rf "$run"

claim "bsp: saved in mid-run, and the run's weights are those of a run without"
for how in with without; do
    run=$tmp/$how
    start_run "$run" --ps 2 --staleness bsp --epochs 2 --seed 3
    if [[ $how == with ]]; then
        wait_trained "$run" 100
        snapshot=$(save "$run")
        expect 0 'whole, 2 parts' "$rubato" snapshot verify "$(value path <<<"$snapshot")"
    fi
    expect_end "$train" 0
done
[[ $(result "$tmp/with" weights_crc) == "$(result "$tmp/without" weights_crc)" ]] || fail "the weights differ"
[[ -n $(result "$tmp/with" weights_crc) ]] || fail "no weights_crc"

claim "a ps that is killed, and a durability without a store, give it up with a sentence; the training ends well"
run=$tmp/killed
start_run "$run" --ps 2 --staleness 4 --epochs 2
wait_trained "$run" 300
worker=$(member "$run" worker "--rank 0")
kill -STOP "$worker"
"$rubato" snapshot save "$run" >"$tmp/killed.out" 2>&1 &
saving=$!
wait_until "$patience_s" says "$run/scheduler.log" 'snapshot 1 is begun' || fail "it does not begin"
kill_member "$run" ps "--first-shard 1"
kill -CONT "$worker"
expect_end "$saving" 1
grep -Eq 'given up: .*(shard 1 was restarted|evicted)' "$tmp/killed.out" || fail "no reason: $(cat "$tmp/killed.out")"
expect_end "$train" 0
[[ ! -e $run/snapshots/000001 ]] || fail "something is left: $(ls -R "$run/snapshots")"
rm -rf "$run"

run=$tmp/none
start_run "$run" --ps 1 --staleness 4 --epochs 2 --durability none
wait_trained "$run" 300
expect 77 'durability none' "$rubato" snapshot save "$run"
expect_end "$train" 0
expect_nobody
