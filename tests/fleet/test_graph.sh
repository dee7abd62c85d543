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
diff <(tr _ ' ' <"$tmp/said") <("$rubato" neighbours "$tmp/rotate" 'e 17' --nearest 3) || fail "the run has other neighbours"
expect 2 "'nobody' is none of the 300 entities" "$rubato" neighbours "$tmp/rotate" nobody

claim "a new job begins with the embeddings of a run, or the vectors of a file, name by name, though its files number them otherwise"
tac "$tmp/train" >"$tmp/other-train"
start_run "$tmp/warm" "${options[@]}" --train-file "$tmp/other-train" --epochs 1 --init "$tmp/rotate" --set lr=0 --vectors "$tmp/warm.txt"
expect_end "$train" 0
diff <(cut -d' ' -f1 "$tmp/entities.txt") <(cut -d' ' -f1 "$tmp/warm.txt") >/dev/null && fail "the entities have the same numbers"
diff <(sort "$tmp/entities.txt") <(sort "$tmp/warm.txt") || fail "a vector has changed"
awk -v a="$(result "$tmp/warm" test_mrr)" -v b="$(result "$tmp/rotate" test_mrr)" 'BEGIN { exit !((a - b) ^ 2 < 1e-8) }' ||
    fail "relations have changed: test_mrr is $(result "$tmp/warm" test_mrr), was $(result "$tmp/rotate" test_mrr)"
start_run "$tmp/vectors" "${options[@]}" --train-file "$tmp/other-train" --epochs 1 --init "$tmp/entities.txt" --set lr=0 \
    --test-file "" --valid-file "" --vectors "$tmp/warm.txt"
expect_end "$train" 0
diff <(sort "$tmp/entities.txt") <(sort "$tmp/warm.txt") || fail "a vector of the file has changed"
expect 0 'numbers' "$rubato" export "$tmp/rotate" -o "$tmp/rotate.npz"
expect 2 "which entities the rows of 'graph/entities' are is not known" \
    "$rubato" train "$run_file" "${options[@]}" --init "$tmp/rotate.npz" --run-dir "$tmp/no"
expect 2 "has rows 32 wide, expected rows 16 wide" \
    "$rubato" train "$run_file" "${options[@]}" --dim 16 --init "$tmp/entities.txt" --run-dir "$tmp/no"

claim "a trained graph is ranked without its fleet: the same figures, of its own files and of others"
start_run "$tmp/distmult" "${options[@]}" --model-kind distmult --epochs 6 --validate-every 6 --workers 2 --ps 2 --staleness 1 \
    --set validation_keep=best
expect_end "$train" 0
awk -v a="$(result "$tmp/distmult" mrr)" 'BEGIN { exit !(a < 0.9) }' || fail "a model that knows all tells nothing of its ranks"
expect 0 '"metrics"' "$rubato" eval "$tmp/distmult" --json
for name in mrr hits_at_10 raw_mrr; do
    awk -v a="$(value $name <"$tmp/said")" -v b="$(result "$tmp/distmult" test_$name)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' ||
        fail "$name is $(value $name <"$tmp/said"), the run said $(result "$tmp/distmult" test_$name)"
done
mrr=$(value mrr <"$tmp/said")
cp "$tmp/test" "$tmp/again"
expect 0 "\"mrr\":$mrr" "$rubato" eval "$tmp/distmult" --json --data "$tmp/again"
expect 0 "\"mrr\":$(result "$tmp/distmult" mrr | cut -c1-8)" "$rubato" eval "$tmp/distmult" --json --data "$tmp/valid"
printf 'e 1\tr0\te 2\ne 1\tr0\tnobody\n' >"$tmp/strange"
expect 4 "strange', line 2, column 8: found 'nobody'" "$rubato" eval "$tmp/distmult" --data "$tmp/strange"
expect 2 'has rows 32 wide, expected rows 16 wide' "$rubato" eval "$tmp/distmult" --set dim=16
expect 2 "vocabulary: '$tmp/again' is of words, model_kind distmult has none" "$rubato" neighbours "$tmp/distmult" 'e 1' --vocabulary "$tmp/again"
expect 2 "vocabulary: '$tmp/again', but '$tmp/entities.txt' has its words itself" "$rubato" neighbours "$tmp/entities.txt" e_1 --vocabulary "$tmp/again"

claim "files that name other entities by now, or in another order, are not taken for those of the run"
mv "$tmp/train" "$tmp/kept" && mv "$tmp/distmult" "$tmp/moved" && tac "$tmp/kept" >"$tmp/train"
others="train_file '$tmp/train': with the run's other files it names 300 entities and 4 relations, which are not those that the run was trained on \\('$tmp/moved/graph.txt'"
expect 4 "$others" "$rubato" eval "$tmp/moved"
expect 4 "$others" "$rubato" neighbours "$tmp/moved" 'e 1'
expect 4 "$others" "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --model-kind distmult --init "$tmp/moved"
snapshots=("$tmp/moved/snapshots"/*)
expect 4 "worker [01] ended with exit code 4: .*${others/moved/resumed}" "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/resumed" \
    --model-kind distmult --epochs 7 --resume "${snapshots[-1]}"
mv "$tmp/kept" "$tmp/train"
start_run "$tmp/resumed-2" "${options[@]}" --model-kind distmult --epochs 7 --validate-every 9 --resume "${snapshots[-1]}"
expect_end "$train" 0
cmp "$tmp/moved/graph.txt" "$tmp/resumed-2/graph.txt" || fail "a resumed run has other names"
{ cat "$tmp/test" && printf 'one more\t%s\n' "$(head -n 1 "$tmp/test" | cut -f 2-)"; } >"$tmp/test-more" # has a row of its own
start_run "$tmp/resumed-3" "${options[@]}" --model-kind distmult --epochs 7 --validate-every 9 --resume "${snapshots[-1]}" \
    --set "test_file=$tmp/test-more"
expect_end "$train" 0
says "$tmp/resumed-3/graph.txt" '^entities 301 ' || fail "the names of a resumed run are $(cat "$tmp/resumed-3/graph.txt")"
expect 0 "\"mrr\":$mrr" "$rubato" eval "$tmp/moved" --json
expect_nobody
