#!/usr/bin/env bash
# Click models whose columns have tables of their own: the same learning, other tables, and all that is done with them.
source "$(dirname "$0")/fleet.sh"

cd "$tmp"
# clicked, city, user id, device, age: what each says of a click is drawn, and no number is 0.
rows() {
    awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); print "clicked,city,user id,device,age"
        for (i = 0; i < n; i++) { c = int(40 * rand()); u = int(300 * rand() * rand()); d = int(5 * rand()); a = 0.1 + rand()
            z = sin(c) + 2 * sin(7 * u) + cos(d) / 2 + a - 1
            printf "%d,c%d,u%d,d%d,%.3f\n", rand() < 1 / (1 + exp(-z)), c, u, d, a } }'
}
rows 2000 1 >train.csv
rows 500 2 >test.csv
cut -d, -f1-3,5 test.csv >less.csv
awk -F, -v OFS=, '{ print $1, $4, $2, $3, $5 }' test.csv >turned.csv
cat >run.yaml <<'E2'
name: columns
job: {workers: 1, ps: 1, staleness: bsp}
model: {kind: logistic}
train: {epochs: 2, batch: 64, optimizer: adagrad, lr: 0.1, epsilon: 1e-3}
data: {format: csv, train_file: train.csv, test_file: test.csv, hash_bits: 28, csv_label: clicked, csv_words: "city,user id,device"}
E2
run_file=run.yaml

claim "columns that there are not, and settings that do not fit, are refused before anything starts"
expect 2 "there is no column 'town' among the 5: clicked, city, user id, device, age" "$rubato" train run.yaml --column-tables town
expect 2 "column_tables: 'city': factors: 4, but all rows of model_kind fm are as wide" "$rubato" train run.yaml \
    --model-kind fm --column-tables 'city: {factors: 4}'
expect 2 'column_tables: model_kind mlp does not learn from sparse examples' "$rubato" train run.yaml --model-kind mlp --column-tables all
expect 4 "'less.csv', line 1, column [0-9]+" "$rubato" train run.yaml \
    --column-tables device --test-file less.csv --set csv_words=all

claim "logistic regression learns to the last digit what it learns with one table, on two ps, too"
start_run "$tmp/one"
expect_end "$train" 0
start_run "$tmp/all" --ps 2 --column-tables all
expect_end "$train" 0
for figure in loss auc stored_rows; do
    [[ $(result "$tmp/one" $figure) == $(result "$tmp/all" $figure) ]] || fail "$figure differs: $(result "$tmp/all" $figure)"
done
awk -v auc="$(result "$tmp/all" auc)" 'BEGIN { exit !(auc > 0.7) }' || fail "AUC $(result "$tmp/all" auc)"

claim "wide_deep with widths, a rate, an admission and an eviction of columns' own: the last and the best epoch are measured, asked, exported"
options=(--model-kind wide_deep --set fields=4 --set hidden=8 --set lr=0.05
    --column-tables '[all, user id: {factors: 12, admit_count: 2}, device: {factors: 2, lr: 0.1}, city: {evict_idle: 3, evict_sweep: 1}]')
start_run "$tmp/deep" "${options[@]}" --batch 16 --set validation_metric=loss --set validation_keep=best
expect_end "$train" 0
(($(result "$tmp/deep" not_admitted) > 50)) || fail "$(result "$tmp/deep" not_admitted) pushes made no row"
(($(result "$tmp/deep" deleted_rows) > 50)) || fail "$(result "$tmp/deep" deleted_rows) rows were deleted"
expect 0 '"examples":500,' "$rubato" eval "$tmp/deep" --json
said=$(value loss <"$tmp/said")
awk -v a="$said" -v b="$(result "$tmp/deep" loss)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' || fail "loss $said, the run said $(result "$tmp/deep" loss)"
expect 0 '"examples":500,' "$rubato" eval "$tmp/deep" --best --json
"$rubato" predict "$tmp/deep" --data test.csv -o p.txt >/dev/null
"$rubato" predict "$tmp/deep" --data - <test.csv | cmp - p.txt || fail "standard input gives other predictions"
expect 4 "'turned.csv', line 1, column [0-9]+" "$rubato" eval "$tmp/deep" --data turned.csv
expect 2 'column_tables: .*4 columns have tables of their own in the weights' "$rubato" eval "$tmp/deep" --set 'column_tables=[]'
"$rubato" export "$tmp/deep" -o m.npz >/dev/null
python3 -m zipfile -l m.npz >members
for table in linear/weights linear/weights.age deep/embeddings.city 'deep/embeddings.user id' deep/embeddings.device layer0/weights; do
    says members "^$table.npy " || fail "no table '$table' in $(cat members)"
done
"$rubato" export "$tmp/deep" --table 'deep/embeddings.user id' -o u.tsv >/dev/null
[[ $(awk 'NR == 1 { print NF }' u.tsv) == 13 ]] || fail "rows of $(awk 'NR == 1 { print NF }' u.tsv) fields"

claim "a new job begins with its weights on other shards, and goes on from its snapshot"
start_run "$tmp/warm" "${options[@]}" --ps 2 --epochs 1 --init m.npz --set lr=0 --set 'column_tables=[all,user id: {factors: 12},device: {factors: 2}]'
expect_end "$train" 0
says "$tmp/warm.out" '^table deep/embeddings.user id begins with [0-9]+ rows of m.npz' || fail "it does not say so: $(cat "$tmp/warm.out")"
awk -v a="$said" -v b="$(result "$tmp/warm" loss)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' || fail "loss $(result "$tmp/warm" loss), it was $said"
start_run "$tmp/on" "${options[@]}" --batch 16 --ps 2 --epochs 3 --resume "$(echo "$tmp"/deep/snapshots/0*)"
expect_end "$train" 0
cat "$tmp/on.out" "$tmp/on.err" >on.said
says on.said "goes on from snapshot [0-9]+: .*clock [0-9]+" || fail "it does not say so: $(cat on.said)"
expect_nobody
