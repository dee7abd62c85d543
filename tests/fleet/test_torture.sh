#!/usr/bin/env bash
# 60 kills of real processes, with pauses and terminations between them, in each durability; nothing is lost, doubled,
# stale or stuck. More of it by hand: scripts/torture --help.
source "$(dirname "$0")/fleet.sh"

torture() { # torture DURABILITY KILLS ARGUMENTS...
    local durability=$1 kills=$2
    shift 2
    expect 0 "^\{\"kills\":$kills,\"lost\":0,\"doubled\":0,\"stale\":0,\"stuck\":0,\"crashed\":0," \
        env TMPDIR="$tmp" "$source_dir/scripts/torture" --build "$build" --kills "$kills" --durability "$durability" --json "$@"
    cat "$tmp/said"
    (($(value pushes <"$tmp/said") > 20 * kills)) || fail "the fleet hardly worked between the kills: $(cat "$tmp/said")"
}

[[ -x /usr/bin/python3 ]] || { echo "skipped: scripts/torture needs /usr/bin/python3"; exit 0; }
patience_s=280
claim "durability journal: 40 kills"
torture journal 40 --seed 1
claim "durability sync: 14 kills, bsp"
torture sync 14 --seed 2 --staleness bsp
claim "durability none: 7 kills; who killed a ps has ended the job with 75"
torture none 7 --seed 3
(($(value ended_75 <"$tmp/said") > 0)) || fail "no ps was killed: $(cat "$tmp/said")"
expect_nobody

claim "what torture says when something is wrong: a worker that pushes more than it logs"
cat >"$tmp/liar.py" <<'PYTHON'
import re, sys
path = sys.argv[1]
lines = open(path).read().splitlines()
# One push that the log does not know: the ledger holds more than was pushed.
i = max(i for i, line in enumerate(lines) if line.split()[1] == "P")
session, number = lines[i].split()[2:4]
lines = [line for j, line in enumerate(lines) if not (line.split()[1] == "P" and j == i)]
lines = [re.sub(rf"^(\d+ A {re.escape(session)}) {number} ", rf"\1 {int(number) - 1} ", line) for line in lines]
open(path, "w").write("\n".join(lines) + "\n")
PYTHON
expect 0 'the run is in' env TMPDIR="$tmp" "$source_dir/scripts/torture" --build "$build" --kills 1 --seed 4 --keep
run=$(echo "$tmp"/rubato-torture-*/job-1-journal)
expect 0 '"law":"none"' "$build/rubato-history" --json "$run"/*.history
last=$(ls "$run"/worker-1.*.history | sort -t. -k2n | tail -n 1)
/usr/bin/python3 "$tmp/liar.py" "$last"
expect 1 'rubato-history: doubled' "$build/rubato-history" --json "$run"/*.history
expect_nobody
