#!/usr/bin/env bash
# 40 kills of real processes, with pauses and terminations between them, under durability journal; nothing is lost,
# doubled, stale or stuck. The other durabilities: test_torture_more.sh. More of it by hand: scripts/torture --help.
source "$(dirname "$0")/fleet.sh"

[[ -x /usr/bin/python3 ]] || { echo "skipped: scripts/torture needs /usr/bin/python3"; exit 0; }
patience_s=280
claim "durability journal: 40 kills"
torture journal 40 --seed 1

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
expect 0 'the run is in' env TMPDIR="$tmp" "$source_dir/scripts/torture" --build "$build" --kills 1 --seed 4 --keep --json
says "$tmp/said" '^\{"kills":1,"lost":0,"doubled":0,"stale":0,"stuck":0,"recovery_ms":\{"p50":([0-9.]+|null),"p99":([0-9.]+|null)\}\}$' ||
    fail "the verdict is another one: $(cat "$tmp/said")"
run=$(echo "$tmp"/rubato-torture-*/job-1-journal)
expect 0 '"law":"none"' "$build/rubato-history" --json "$run"/*.history
last=$(ls "$run"/worker-1.*.history | sort -t. -k2n | tail -n 1)
/usr/bin/python3 "$tmp/liar.py" "$last"
expect 1 'rubato-history: doubled' "$build/rubato-history" --json "$run"/*.history
expect_nobody
