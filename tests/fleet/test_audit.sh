#!/usr/bin/env bash
# rubato audit: real runs, with a ps and a worker killed in their middle, have broken no bound; and logs that were
# changed to tell of broken bounds, of claims that no journal shows and of records that were not there are found out.
source "$(dirname "$0")/fleet.sh"
audit() { expect "$1" "$2" "$rubato" audit "${@:3}"; }

claim "a run whose ps and worker were killed: every answer is checked, and within the bound"
run=$tmp/killed
start_run "$run" --epochs 2 --staleness 2 --pull-log --journal-keep all
wait_trained "$run" 100
kill_member "$run" ps "--first-shard 1"
wait_trained "$run" 300
kill_member "$run" worker "--rank 1"
expect_end "$train" 0
expect_nobody
audit 0 'no read broke its bound, greatest gap [0-2]$' "$run"
"$rubato" audit "$run" --json >"$tmp/audit.json"
is_json <"$tmp/audit.json" || fail "not JSON: $(cat "$tmp/audit.json")"
(($(value checked <"$tmp/audit.json") > 1000)) || fail "hardly anything was checked: $(cat "$tmp/audit.json")"
(($(value sessions <"$tmp/audit.json") >= 3)) || fail "the successor left no log: $(cat "$tmp/audit.json")"
[[ $(value missing <"$tmp/audit.json") == 0 ]] || fail "answers without a record: $(cat "$tmp/audit.json")"

claim "bsp: no gap at all"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/bsp" --epochs 1 --staleness bsp --pull-log --journal-keep all
audit 0 'no read broke its bound, greatest gap 0$' "$tmp/bsp"

claim "what did not happen is found out"
log=$(ls "$tmp"/bsp/pulls/rank-0.*)
good=$(sed -n 200p "$log")
forged() { # forged FIELD VALUE PATTERN: line 200 with another number
    awk -v line=200 -v field="$1" -v value="$2" 'NR == line { $field = value } { print }' "$log" >"$log.new"
    cp "$log" "$tmp/whole" && mv "$log.new" "$log"
    audit 1 "$3" "$tmp/bsp"
    says "$tmp/said" '^rubato audit: [0-9]+ violation' || fail "$(cat "$tmp/said")"
    cp "$tmp/whole" "$log"
}
read -r _ stamp minimum _ own <<<"$good"
forged 2 $((stamp + 3)) "rank-0.epoch-1.pulls line 200: .*used at clock $((stamp + 3)) with the slowest rank at [0-9]+: gap [0-9]+, bound 0"
forged 3 $((minimum + 9)) "it claimed minimum $((minimum + 9)), its journal shows [0-9]+"
forged 5 $((own + 1000000)) "rank 0 had sent record $((own + 1000000)), only [0-9]+ were in"

claim "what cannot be audited is said"
expect 0 . "$rubato" train "$run_file" --run-dir "$tmp/plain" --epochs 1
audit 4 "no logs of pulls in '$tmp/plain/pulls'; train with pull_log" "$tmp/plain"
echo "1 2 three" >>"$log"
audit 4 "line [0-9]+ is not five numbers" "$tmp/bsp"
audit 2 "expected one run directory, got 0"
