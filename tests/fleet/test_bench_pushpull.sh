#!/usr/bin/env bash
# `rubato bench pushpull` measures a fleet beside the ideal server: one tiny case, with every field that others read; what
# can not be measured is refused before anything is started.
source "$(dirname "$0")/fleet.sh"

claim "every side of a case is one line of JSON"
expect 0 '"case":"tiny_64"' "$rubato" bench pushpull tiny_64 --repeat 1 --json
cp "$tmp/said" "$tmp/lines"
/usr/bin/python3 - "$tmp/lines" <<'PYTHON' || fail "the JSON is not as claimed: $(cat "$tmp/lines")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert [line["case"] for line in lines] == ["raw_1m", "tiny_64", "tiny_64", "tiny_64"], lines
assert [line["server"] for line in lines] == ["libzmq", "ideal", "rubato", "rubato"], lines
assert [line.get("durability") for line in lines] == [None, None, "none", "journal"], lines
assert lines[0]["goodput_gb_s"] > 0
for line in lines[1:]:
    for key in ("goodput_gb_s", "goodput_min_gb_s", "goodput_max_gb_s", "rows_per_s", "calls_per_s", "cpu_s_per_gb",
                "ideal_ratio", "ideal_cpu_ratio", "ideal_latency_ratio", "raw_ratio", "rounds"):
        assert line[key] > 0, key
    assert line["cpu_s_per_gb_min"] <= line["cpu_s_per_gb"] <= line["cpu_s_per_gb_max"]
    assert 0 < line["latency_us"]["p50"] <= line["latency_us"]["p99"]
    assert line["goodput_min_gb_s"] <= line["goodput_gb_s"] <= line["goodput_max_gb_s"]
    assert line["rows_per_s"] == line["calls_per_s"]  # a row a call
assert lines[1]["ideal_ratio"] == 1
for line in lines[2:]:
    assert line["bar"] == 0.7 and line["bar_is_on"] == "ideal_ratio"
    assert line["met"] == (line["ideal_ratio"] >= 0.7)
    assert "cpu_bar" not in line  # through tcp
    assert (line["codec"], line["pull_codec"], line["wire_ratio"]) == ("f32", "f32", 1)
assert ["first_gb_s" in line for line in lines[1:]] == [False, False, True]  # the journal's first seconds
assert lines[3]["first_gb_s"] > 0
PYTHON
expect_nobody

claim "a case of one's own, with several ps, shards and workers, in codecs of its own"
expect 0 '^custom .* ideal .*|^ +sync ' "$rubato" bench pushpull --operation pushpull --keys 100 --width 8 --rows 1000 \
    --draw zipf --in-flight 4 --ps 2 --shards 2 --workers 2 --durability sync --codec int8 --pull-codec bf16 --repeat 1
# 64 bytes of a row, both ways, go in 12 of int8 and 16 of bf16; repeated keys in less
grep -Eq '^ *sync .* [2-9]\.[0-9]+ times smaller on the wire' "$tmp/said" || fail "no line of the fleet: $(cat "$tmp/said")"
expect_nobody

claim "through shared memory CPU seconds have a bar, too"
expect 0 '"cpu_bar":0.50,"cpu_met":(true|false)' "$rubato" bench pushpull push_64k --lane shm --durability none --repeat 1 --json
expect_nobody

claim "a fleet inside the measuring process"
expect 0 '"case":"push_64k","server":"rubato","durability":"none","lane":"inproc"' "$rubato" bench pushpull push_64k pull_10k --inproc --repeat 1 --json
[[ $(grep -c '"server":"rubato"' "$tmp/said") == 2 ]] || fail "not a line for each case: $(cat "$tmp/said")"
expect_nobody

claim "through Unix sockets"
expect 0 '"case":"tiny_1","server":"rubato","durability":"none","lane":"ipc"' "$rubato" bench pushpull tiny_1 --listen ipc --durability none --repeat 1 --json
expect_nobody

claim "what can not be measured is refused"
expect 2 "listen: '0.0.0.0', a measurement takes the loopback, or ipc" "$rubato" bench pushpull tiny_1 --listen 0.0.0.0
expect 2 'lane: a fleet inside this process has none' "$rubato" bench pushpull tiny_1 --inproc --lane shm
expect 2 'durability: a fleet inside this process has no store' "$rubato" bench pushpull tiny_1 --inproc --durability journal
expect 2 "pushpull has no case 'push_2k'; known: push_64k, " "$rubato" bench pushpull push_2k
expect 2 "in_flight: 65 is above the greatest, 64" "$rubato" bench pushpull --in-flight 65
expect 2 "keys: 10 in a call, but the table of case custom has 5 rows" "$rubato" bench pushpull --keys 10 --rows 5
expect 2 "bench ideal: 0 addresses, expected one" "$rubato" bench ideal
expect 2 "cannot listen on 'nowhere': Invalid argument" "$rubato" bench ideal nowhere
expect_nobody
