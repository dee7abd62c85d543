#!/usr/bin/env bash
# `rubato bench store` measures tables in its own process: small cases, with every field that others read; what can not be
# measured is refused.
source "$(dirname "$0")/fleet.sh"

claim "every operation of a case is one line of JSON"
expect 0 '"case":"memory"' "$rubato" bench store cached_64 dense_cached memory --rows 2000 --repeat 1 --json
cp "$tmp/said" "$tmp/lines"
/usr/bin/python3 - "$tmp/lines" <<'PYTHON' || fail "the JSON is not as claimed: $(cat "$tmp/lines")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
hashed = ["insert", "gather", "add", "insert", "gather_slots", "adagrad"]
dense = ["insert", "read", "sgd", "insert", "read_slots", "adagrad"]
assert [line["op"] for line in lines if line["case"] == "cached_64"] == hashed, lines
assert [line["op"] for line in lines if line["case"] == "dense_cached"] == dense, lines
for line in lines:
    assert line["rows"] == 2000, line
    if line["case"] == "memory":
        assert line["resident_bytes"] > line["rows"] * line["width"] * 4
        assert line["peak_ratio"] >= 1
    else:
        assert line["rows_per_s"] > 0
    if "ideal_ratio" in line:
        for key in ("rows_per_s_min", "rows_per_s_max", "goodput_gb_s", "cpu_s_per_gb", "ideal_ratio"):
            assert line[key] > 0, key
        assert all(line["array_rows_per_s"][level] > 0 for level in ("plain", "prefetch", "huge"))
memory = [(line["optimizer"], line["width"]) for line in lines if line["case"] == "memory"]
assert memory == [("adagrad", 64), ("sgd", 64), ("adagrad", 1)], memory
PYTHON

claim "people get a table"
expect 0 '^ +adagrad ' "$rubato" bench store cached_16 --rows 3000 --width 5 --repeat 1

claim "what can not be measured is refused"
expect 2 "bench store has no case 'cached'; known: random_64, " "$rubato" bench store cached
expect 2 "bench store: 30000001 rows, at most 30000000" "$rubato" bench store --rows 30000001
