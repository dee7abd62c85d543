#!/usr/bin/env bash
# 21 more kills of real processes, as in test_torture.sh, under the durabilities sync (and bsp) and none.
source "$(dirname "$0")/fleet.sh"

[[ -x /usr/bin/python3 ]] || { echo "skipped: scripts/torture needs /usr/bin/python3"; exit 0; }
patience_s=280
claim "durability sync: 14 kills, bsp"
torture sync 14 --seed 2 --staleness bsp
claim "durability none: 7 kills; who killed a ps has ended the job with 75"
torture none 7 --seed 3
(($(value ended_75 <"$tmp/said") > 0)) || fail "no ps was killed: $(cat "$tmp/said")"
expect_nobody
