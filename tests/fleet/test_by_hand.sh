#!/usr/bin/env bash
# What people do by hand: scripts/fleet-local, status while it runs, the example of the library against a scheduler and
# two ps, help for every command, and a configuration that can be printed and read back.
source "$(dirname "$0")/fleet.sh"

claim "scripts/fleet-local trains, and status looks on"
sed -e 's/^  epochs: .*/  epochs: 3/' "$run_file" >"$tmp/small.yaml"
port=$(free_port)
(cd "$tmp" && PROGRAM=$rubato PORT=$port exec "$source_dir/scripts/fleet-local" "$tmp/small.yaml" 2 2) >"$tmp/fleet.out" 2>&1 &
fleet=$!
address=tcp://127.0.0.1:$port
is_running() { [[ $("$rubato" status --scheduler "$address" --json 2>/dev/null | value state) == running ]]; }
wait_until "$patience_s" is_running || fail "no job runs: $(cat "$tmp/fleet.out")"
expect 0 '^ *1 +[0-9]+ .*tcp://127.0.0.1:' "$rubato" status --scheduler "$address"
expect 0 '^job [0-9a-f]{16} .*staleness 4' "$rubato" status --scheduler "$address"
"$rubato" status --scheduler "$address" --json >"$tmp/status.json"
is_json <"$tmp/status.json" || fail "not JSON: $(cat "$tmp/status.json")"
(($(grep -o '"rank":' "$tmp/status.json" | wc -l) == 2)) || fail "not 2 ranks: $(cat "$tmp/status.json")"
expect 0 '^job [0-9a-f]{16} .*staleness 4' "$rubato" status "$(echo "$tmp"/runs/fleet-*)" # by its config.yaml
expect_end "$fleet" 0
expect_nobody
says "$tmp/fleet.out" '^logs and stores: runs/fleet-' || fail "no folder was named: $(cat "$tmp/fleet.out")"
rm -rf "$tmp/runs"

claim "fleet-local: what ends badly ends everybody, with its code"
expect 4 "cannot be opened|cannot read" env -C "$tmp" PROGRAM="$rubato" PORT="$(free_port)" RUBATO_TRAIN_IMAGES="$tmp/nowhere" \
    "$source_dir/scripts/fleet-local" "$tmp/small.yaml" 1 1
expect_nobody
rm -rf "$tmp/runs"

claim "example-pull_push: two processes, 20 votes"
"$rubato" scheduler --scheduler tcp://127.0.0.1:0 --ps 2 --workers 2 --run-dir "$tmp/job" >"$tmp/scheduler.log" 2>&1 &
scheduler=$!
wait_until "$patience_s" says "$tmp/scheduler.log" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler.log")"
address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler.log")
ps=()
for shard in 0 1; do
    "$rubato" ps --scheduler "$address" --ps 2 --first-shard "$shard" --run-dir "$tmp/job" >"$tmp/ps-$shard.log" 2>&1 &
    ps+=($!)
done
example=$(find "$build" -name example-pull_push -type f | sed -n 1p)
[[ -x $example ]] || fail "no example-pull_push in $build"
"$example" "$address" >"$tmp/first.out" 2>&1 &
first=$!
"$example" "$address" >"$tmp/second.out" 2>&1 &
second=$!
for pid in "$first" "$second" "${ps[@]}" "$scheduler"; do
    expect_end "$pid" 0
done
for out in first second; do
    [[ $(cat "$tmp/$out.out") == "votes: 20" ]] || fail "the $out process says: $(cat "$tmp/$out.out")"
done
expect_nobody

claim "help, version, and a configuration that comes back"
expect 0 '^  rubato train FILE' "$rubato" help
for command in $("$rubato" help | sed -nE 's/^  rubato ([a-z]+).*/\1/p'); do
    [[ $command == help || $command == version ]] && continue
    expect 0 "^rubato $command .*\[flags\]:" "$rubato" help "$command"
    cp "$tmp/said" "$tmp/help"
    "$rubato" "$command" --help | diff - "$tmp/help" >&2 || fail "'$command --help' and 'help $command' differ"
done
expect 0 '^rubato [0-9]+\.[0-9]+\.[0-9]+$' "$rubato" version
expect 2 '^rubato [0-9.]+: ' "$rubato"
for command in train scheduler ps worker; do
    "$rubato" "$command" "$run_file" --print-config --set lr=1e-4 --set hidden=32,16 --set staleness=async >"$tmp/first.yaml"
    "$rubato" "$command" "$tmp/first.yaml" --print-config >"$tmp/second.yaml"
    without_origin() { sed -E 's/ *#.*//' "$1"; }
    diff <(without_origin "$tmp/first.yaml") <(without_origin "$tmp/second.yaml") >&2 \
        || fail "--print-config of '$command' does not come back the same"
done
expect 0 '^ *epochs: 3 ' env RUBATO_EPOCHS=3 "$rubato" train "$run_file" --print-config             # wins over the file
expect 0 '^ *epochs: 4 ' env RUBATO_EPOCHS=3 "$rubato" train "$run_file" --epochs 4 --print-config # wins over both
