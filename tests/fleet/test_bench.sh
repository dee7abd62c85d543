#!/usr/bin/env bash
# `rubato bench`: what is not understood is refused before anything is started, and a missed bar is an exit code for who
# asks for it.
source "$(dirname "$0")/fleet.sh"

claim "a measurement or a case that there is not is refused with what there is"
expect 2 "no measurement is named; known: train, durability" "$rubato" bench
expect 2 "no measurement 'speed'; known: train, durability" "$rubato" bench speed
expect 2 "bench train has no case 'push'; known: training" "$rubato" bench train push
expect 2 "bench durability has no case 'push'; known: push_dense, .*, training" "$rubato" bench durability push_dense push
expect 2 "bench recover has no case 'ps'; known: dense_stored, .*, scheduler" "$rubato" bench recover ps
expect 2 "bench staleness has no case 'bsp'; known: one_slow, turns" "$rubato" bench staleness bsp
expect 2 "bench codecs has no case 'zstd'; known: f32, .*, topk" "$rubato" bench codecs zstd
expect 2 "repeat: 101 is above the greatest, 100" "$rubato" bench train --repeat 101
expect 2 "epochs: 1001, at most 1000 in bench staleness" "$rubato" bench staleness --epochs 1001

claim "data of one's own without a test set can not show accuracy or loss"
own=(--train-images "$data/train-images-idx3-ubyte.gz" --train-labels "$data/train-labels-idx1-ubyte.gz")
expect 2 "test_images: empty, but bench codecs is about what test examples say" "$rubato" bench codecs "${own[@]}"
expect 2 "test_file: empty, but bench codecs is about what test examples say" "$rubato" bench codecs --data-format text \
    --model-kind skipgram --train-file words.txt
expect 2 "codec: bench codecs measures each beside float32" "$rubato" bench codecs --codec int8
expect 2 "test_images: empty, but bench staleness is about what test examples say" "$rubato" bench staleness "${own[@]}"

claim "a missed bar is exit code 1 with --check, and a figure without"
# a table of one row takes a page: far above 1.2 times its values
expect 1 '^rubato bench: 2 of the bars were missed$' "$rubato" bench store memory --rows 1 --width 64 --check
grep -q ' MISSED$' "$tmp/said" || fail "no line says which: $(cat "$tmp/said")"
expect 0 ' MISSED$' "$rubato" bench store memory --rows 1 --width 64
expect 1 '"met":false' "$rubato" bench store memory --rows 1 --width 64 --check --json
expect 0 '"bar":0.00,"met":true' "$rubato" bench store cached_64 --rows 2000 --repeat 1 --check --json
expect_nobody

# What the last command printed: the baselines, the local loop, and two fleets beside it.
is_a_training() {
    cp "$tmp/said" "$tmp/lines"
    /usr/bin/python3 - "$tmp/lines" <<'PYTHON' || fail "the JSON is not as claimed: $(cat "$tmp/lines")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
assert [(line["case"], line.get("server"), line.get("workers")) for line in lines] == [
    ("raw_1m", "libzmq", None), ("pushpull_1m", "ideal", None), ("training", "local", 1), ("training", "rubato", 1),
    ("training", "rubato", 2), ("training", None, None)], lines
assert lines[1]["goodput_min_gb_s"] <= lines[1]["goodput_gb_s"] <= lines[1]["goodput_max_gb_s"]
for line in lines[3:5]:
    for key in ("examples_per_s", "cpu_s_per_gb", "value_bytes", "local_ratio", "ideal_ratio"):
        assert line[key] > 0, key
    assert line["ideal_ratio"] >= line["local_ratio"]  # whom values cost something is never faster than whom they do not
assert lines[5]["fleet_examples_per_s"] == lines[3]["examples_per_s"]
PYTHON
}

claim "word vectors are compared by their loss on test data, and a training stands beside a local loop and the ideal server"
awk 'BEGIN { for (i = 0; i < 400; i++) { for (j = 0; j < 8; j++) printf "w%d ", (i * 7 + j * j) % 50; print "" } }' >"$tmp/words.txt"
words=(--data-format text --model-kind skipgram --dim 8 --min-count 1 --train-file "$tmp/words.txt" --batch 1000 --epochs 1 --repeat 1 --json)
expect 0 '"codec":"bf16",.*"accuracy":null,"behind_f32_per_cent":' "$rubato" bench codecs bf16 "${words[@]}" --test-file "$tmp/words.txt"
expect 0 '"codec":"bf16"' "$rubato" bench codecs bf16 "${words[@]}" --test-file "$tmp/words.txt" --staleness 4
for bench in train durability codecs; do
    expect 2 "^rubato bench: --set: reduce: sum, but staleness is 4" "$rubato" bench $bench "${words[@]}" --test-file "$tmp/words.txt" \
        --staleness 4 --set reduce=sum
done
expect 0 '"speedup_2_workers":' "$rubato" bench train --optimizer add "${words[@]}"
is_a_training
expect_nobody

claim "so does one of clicks, whose examples are in memory"
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "%d %d:1 %d:1 %d:0.5\n", i % 7 % 2, i % 7, 10 + i * i % 31, 60 + i % 400 }' >"$tmp/clicks.svm"
clicks=(--model-kind fm --data-format libsvm --train-file "$tmp/clicks.svm" --optimizer adagrad --batch 200 --epochs 1 --repeat 1 --json)
expect 0 '"speedup_2_workers":' "$rubato" bench train "${clicks[@]}"
is_a_training
expect 2 "data_memory: bench train trains on examples in memory, without a ps, too; expected 0" "$rubato" bench train "${clicks[@]}" \
    --set data_memory=1M
expect_nobody
