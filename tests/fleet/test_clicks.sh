#!/usr/bin/env bash
# Click models: sparse examples from Criteo and LIBSVM files, rows pulled and pushed by key, log-loss and AUC.
source "$(dirname "$0")/fleet.sh"

run_file=$source_dir/examples/clicks.yaml
"$source_dir/scripts/clicks-data" "$tmp/clicks" --rows 12000 --test-rows 3000
"$source_dir/scripts/clicks-data" "$tmp/clicks" --rows 3000 --test-rows 500 --format libsvm
gzip "$tmp/clicks/train.svm"
cd "$tmp" # the run file says clicks/train.tsv

claim "what can not be read is said before anything starts: which option, or which line and column"
expect 2 'train_file is not set' "$rubato" train "$run_file" --train-file ''
expect 4 "train_file: cannot read 'nowhere'" "$rubato" train "$run_file" --train-file nowhere
expect 2 'model_kind logistic learns from sparse examples: data_format is idx' "$rubato" train "$run_file" --data-format idx
{ head -n 2 clicks/train.tsv && echo "1	2	x"; } >bad.tsv
expect 4 "'bad.tsv', line 3, column 5: found 'x', expected a whole number or nothing as feature I2" \
    "$rubato" train "$run_file" --train-file bad.tsv
expect 4 "'clicks/train.tsv', line 1, column [0-9]+: found a tab, expected ':'" "$rubato" train "$run_file" --data-format libsvm

claim "logistic regression learns what was planted, and says so with AUC"
start_run "$tmp/logistic" --batch 256 --ps 2 --set epochs=2 --staleness bsp # the same on a busy machine
expect_end "$train" 0
says "$tmp/logistic.out" '^test auc +0\.' || fail "no AUC in $(cat "$tmp/logistic.out")"
expect_value "$tmp/logistic" examples 24000
awk -v auc="$(result "$tmp/logistic" auc)" -v loss="$(result "$tmp/logistic" loss)" 'BEGIN { exit !(auc > 0.72 && loss < 0.61) }' ||
    fail "AUC $(result "$tmp/logistic" auc), loss $(result "$tmp/logistic" loss)"

claim "bsp: two workers of a factorization machine on a gzipped LIBSVM file, the same weights on one ps and on two"
for ps in 1 2; do
    start_run "$tmp/fm$ps" --set model_kind=fm --set data_format=libsvm --train-file clicks/train.svm.gz \
        --test-file clicks/test.svm --batch 128 --epochs 1 --workers 2 --ps "$ps" --staleness bsp
    expect_end "$train" 0
    expect_value "$tmp/fm$ps" repeatable true
done
[[ $(result "$tmp/fm1" weights_crc) == $(result "$tmp/fm2" weights_crc) ]] || fail "the weights differ"
[[ $(result "$tmp/fm1" auc) == $(result "$tmp/fm2" auc) ]] || fail "AUC differs"
expect 0 . "$rubato" eval "$tmp/fm1" --json # over all pairs, by one process
[[ $(result "$tmp/fm1" auc) == $(value auc <"$tmp/said") ]] || fail "AUC of two workers is $(result "$tmp/fm1" auc), over all pairs: $(cat "$tmp/said")"

claim "deepfm: rows by key and a network's whole tables, the same weights on one ps and on two; and what has not all fields"
for ps in 1 2; do
    start_run "$tmp/deep$ps" --set model_kind=deepfm --set hidden=16 --set lr=0.05 --set epsilon=1e-4 --batch 128 --epochs 1 \
        --workers 2 --ps "$ps" --staleness bsp
    expect_end "$train" 0
done
[[ $(result "$tmp/deep1" weights_crc) == $(result "$tmp/deep2" weights_crc) ]] || fail "the weights differ"
awk -v auc="$(result "$tmp/deep1" auc)" 'BEGIN { exit !(auc > 0.68) }' || fail "AUC $(result "$tmp/deep1" auc)"
expect 2 'fields: 0, deepfm wants to know how many' "$rubato" train "$run_file" --model-kind deepfm --data-format libsvm --train-file clicks/train.svm.gz --test-file clicks/test.svm
expect 4 "'clicks/train.tsv', line 1, column [0-9]+: found the line's end, expected 38 features, as every example has \(fields\), there are 39$" "$rubato" train "$run_file" --model-kind wide_deep --set fields=38

claim "streamed from a folder, in windows of a megabyte: the same weights on one ps and on two; and pieces under a bound"
mkdir clicks/days
split -n l/5 --additional-suffix .tsv clicks/train.tsv clicks/days/
for ps in 1 2; do
    start_run "$tmp/stream$ps" --train-file clicks/days --set data_memory=1M --batch 256 --epochs 1 --ps "$ps" --staleness bsp
    expect_end "$train" 0
    expect_value "$tmp/stream$ps" examples 12000
done
[[ $(result "$tmp/stream1" weights_crc) == $(result "$tmp/stream2" weights_crc) ]] || fail "the weights differ"
start_run "$tmp/streamed" --train-file 'clicks/days/*.tsv' --set data_memory=1M --batch 256 --epochs 2 --staleness 4
expect_end "$train" 0
expect_value "$tmp/streamed" examples 24000
awk -v auc="$(result "$tmp/streamed" auc)" 'BEGIN { exit !(auc > 0.70) }' || fail "AUC $(result "$tmp/streamed" auc)"
start_run "$tmp/held" --train-file clicks/days --test-file '' --set held_out=0.2 --set sampling=replacement --batch 256 --epochs 1
expect_end "$train" 0
examples=$(result "$tmp/held" examples)
((examples > 9300 && examples < 9900)) || fail "$examples examples were trained on, of 12000 but a fifth"
says "$tmp/held.out" '^test auc +0\.' || fail "nothing was validated on: $(cat "$tmp/held.out")"
expect 2 'data_memory: 4096 bytes, a batch of 1024 examples may need' "$rubato" train "$run_file" --set data_memory=4K

claim "rows are admitted by a draw and deleted when idle: under bsp the same ones on one ps, and on two of which one is killed; the journal explains them"
expect 2 'evict: model_kind mlp has dense tables alone' "$rubato" train "$run_file" --model-kind mlp --set evict_idle=5
for ps in 1 2; do
    start_run "$tmp/evict$ps" --batch 64 --epochs 1 --staleness bsp --ps "$ps" --set evict_idle=6 --set evict_sweep=4 \
        --set admit_probability=0.5 --set journal_keep=all --set pace_ms=5
    if ((ps == 2)); then
        wait_trained "$tmp/evict2" 60
        kill_member "$tmp/evict2" ps "--first-shard 1"
    fi
    expect_end "$train" 0
    (($(result "$tmp/evict$ps" deleted_rows) > 1000)) || fail "$(result "$tmp/evict$ps" deleted_rows) rows were deleted"
done
expect_value "$tmp/evict2" restarts 1
for name in weights_crc stored_rows deleted_rows; do
    [[ $(result "$tmp/evict1" "$name") == $(result "$tmp/evict2" "$name") ]] || fail "$name differs"
done
expect 0 'shard 1: .*equal, bit for bit' "$rubato" replay "$tmp/evict2"
expect 0 . "$rubato" fsck "$tmp/evict1"

claim "rows are admitted by their third push: the same ones on one ps, and on two of which one is killed"
expect 2 'admit: count 3 and probability 0.5, rows are admitted by one of them' "$rubato" train "$run_file" \
    --set admit_count=3 --set admit_probability=0.5
expect 2 'admit: model_kind mlp does not learn from sparse examples' "$rubato" train "$run_file" --model-kind mlp \
    --set admit_count=3
for ps in 1 2; do
    pace=$((ps == 2 ? 5 : 0))
    start_run "$tmp/count$ps" --batch 64 --epochs 1 --staleness bsp --ps "$ps" --set admit_count=3 --set journal_keep=all \
        --set pace_ms=$pace
    if ((ps == 2)); then
        wait_trained "$tmp/count2" 60
        kill_member "$tmp/count2" ps "--first-shard 1"
    fi
    expect_end "$train" 0
    (($(result "$tmp/count$ps" not_admitted) > 1000)) || fail "$(result "$tmp/count$ps" not_admitted) pushes made no row"
done
for name in weights_crc stored_rows; do
    [[ $(result "$tmp/count1" "$name") == $(result "$tmp/count2" "$name") ]] || fail "$name differs"
done
expect 0 'shard 1: .*equal, bit for bit' "$rubato" replay "$tmp/count2"
expect 0 . "$rubato" fsck "$tmp/count2"
expect_nobody
