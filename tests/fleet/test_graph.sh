#!/usr/bin/env bash
# Embeddings of a graph by a fleet: what is wrong with triples is refused before anything starts; a planted rule is learnt, so
# that held-out triples rank high; vectors come out under the names of entities.
source "$(dirname "$0")/fleet.sh"

# Entities on a ring: relation r leads 5 r + 1 places on. A model that embeds them knows the triples that are left out.
awk -v train="$tmp/train" -v valid="$tmp/valid" -v test="$tmp/test" 'BEGIN {
    srand(3)
    for (r = 0; r < 4; r++) for (e = 0; e < 300; e++) {
        file = e == 0 || rand() < 0.9 ? train : rand() < 0.5 ? valid : test
        print "e " e "\tr" r "\te " (e + 5 * r + 1) % 300 > file
    }
}'
run_file=$source_dir/examples/wordnet.yaml
options=(--train-file "$tmp/train" --valid-file "$tmp/valid" --test-file "$tmp/test" --dim 32 --negatives 32 --chunk 64 --batch 256
    --gamma 4 --lr 0.2 --epochs 60 --validate-every 30)

claim "what a graph can not be made of is refused before anything starts"
printf 'a\tb\tc\na\tb\n' >"$tmp/bad"
expect 4 "$tmp/bad', line 2, column 4: found the line's end, expected a tab and the tail" \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --train-file "$tmp/bad"
expect 2 'optimizer: adam, rotate steps on the worker .* expected add' \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --optimizer adam
expect 2 'data_format: text, rotate trains on triples' \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --data-format text

claim "a planted rule is learnt: triples that were left out rank high, of two workers and two ps"
start_run "$tmp/rotate" "${options[@]}" --workers 2 --ps 2 --staleness 1 --vectors "$tmp/entities.txt"
expect_end "$train" 0
expect_value "$tmp/rotate" status ok
for name in mrr test_mrr; do
    awk -v a="$(result "$tmp/rotate" $name)" 'BEGIN { exit !(a > 0.5) }' || fail "$name is $(result "$tmp/rotate" $name)"
done
(($(grep -c '"mrr"' "$tmp/rotate/metrics.jsonl") >= 1)) || fail "no ranks in metrics.jsonl"

claim "entities have vectors under their names"
[[ $(head -n 1 "$tmp/entities.txt") == "300 32" ]] || fail "vectors begin with $(head -n 1 "$tmp/entities.txt")"
grep -q '^e_17 ' "$tmp/entities.txt" || fail "no vector of 'e 17'"
expect 0 '^e_17$' "$rubato" neighbours "$tmp/entities.txt" e_17 --nearest 3
expect_nobody
