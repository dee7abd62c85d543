#!/usr/bin/env bash
# Networks from a list of layers: what can not be is refused before anything starts, by its item; a small convolutional
# network learns; and under bsp the same weights come out, dropout and all, on any number of ps and behind a snapshot.
source "$(dirname "$0")/fleet.sh"

# 600 images of 8 x 8 with a bright line across or down, among noise.
python3 - "$tmp" <<'PYTHON'
import random, struct, sys
draw = random.Random(5)
def write(name, n):
    images, labels = bytearray(), bytearray()
    for _ in range(n):
        image, label, at = [draw.randrange(120) for _ in range(64)], draw.randrange(2), draw.randrange(8)
        for i in range(8):
            image[at * 8 + i if label else i * 8 + at] = 200
        images += bytes(image)
        labels.append(label)
    open(f"{sys.argv[1]}/{name}-images", "wb").write(struct.pack(">IIII", 0x803, n, 8, 8) + images)
    open(f"{sys.argv[1]}/{name}-labels", "wb").write(struct.pack(">II", 0x801, n) + labels)
write("train", 600)
write("test", 200)
PYTHON
run_file=$tmp/lines.yaml
cat >"$run_file" <<YAML
model:
  layers:
    - conv: {filters: 8, kernel: 3, padding: 1}
    - relu
    - max_pool: 2
    - layer_norm
    - dropout: 0.2
    - dense: 2
train: {batch: 20, epochs: 5, optimizer: adam, lr: 5e-3}
job: {workers: 2, ps: 1, staleness: bsp, seed: 3}
data: {train_images: $tmp/train-images, train_labels: $tmp/train-labels, test_images: $tmp/test-images, test_labels: $tmp/test-labels}
YAML

claim "what is no network is refused before anything starts, with its item"
refused() { expect 2 "$1" "$rubato" train "$run_file" --run-dir "$tmp/no" "${@:2}"; }
refused "layers: item 2 \(conv\): kernel 5 does not fit into 4 x 4 x 1" --layers "max_pool: 2, conv: {filters: 2, kernel: 5}, dense: 2"
refused "layers: item 1 \(dropout\): rate 1.5, expected 0 to 0.99" --layers "dropout: 1.5, dense: 2"
refused "layers: item 1 \(dense\): 1 units, the data has 2 classes" --layers "dense: 1"
refused "layers: are for model_kind sequential, but it is mlp" --model-kind mlp
[[ ! -e $tmp/no ]] || fail "a run directory was made"

claim "a convolutional network learns what a line is"
start_run "$tmp/one"
expect_end "$train" 0
expect_value "$tmp/one" model sequential
expect_value "$tmp/one" repeatable true
awk -v a="$(result "$tmp/one" accuracy)" 'BEGIN { exit !(a > 0.9) }' || fail "accuracy is $(result "$tmp/one" accuracy)"

claim "what was held out is measured again without the fleet; the network is a graph of ONNX, images channels first"
start_run "$tmp/held" --set test_images= --set test_labels= --set held_out=0.2 --epochs 1
expect_end "$train" 0
expect 0 '"examples":1[0-9][0-9],' "$rubato" eval "$tmp/held" --json
[[ $(value accuracy <"$tmp/said") == "$(result "$tmp/held" accuracy)" ]] || fail "accuracy: $(cat "$tmp/said")"
expect 0 "line.onnx: 594 numbers from $tmp/held, as onnx" "$rubato" export "$tmp/held" -o "$tmp/line.onnx"
for word in Conv Relu MaxPool InstanceNormalization Flatten Gemm Softmax; do
    grep -qa "$word" "$tmp/line.onnx" || fail "no $word in it"
done
"$rubato" export "$tmp/held" -o "$tmp/same.onnx" --data "$tmp/test-images" >/dev/null
cmp "$tmp/line.onnx" "$tmp/same.onnx" || fail "other images of that size make another graph"
start_run "$tmp/from-onnx" --epochs 1 --set lr=0 --init "$tmp/line.onnx"
expect_end "$train" 0
"$rubato" export "$tmp/from-onnx" -o "$tmp/again.onnx" >/dev/null
cmp "$tmp/line.onnx" "$tmp/again.onnx" || fail "parameters have changed on their way through a graph"
"$rubato" export "$tmp/held" --table layer0/weights -o "$tmp/one.npy" >/dev/null
"$rubato" export "$tmp/held" --table layer0/weights -o "$tmp/one.tsv" >/dev/null
for file in one.npy one.tsv; do
    start_run "$tmp/from-$file" --epochs 1 --set lr=0 --init "$tmp/$file" --table layer0/weights
    expect_end "$train" 0
    says "$tmp/from-$file.out" "^table layer0/weights begins with $tmp/$file" || fail "it does not say so: $(cat "$tmp/from-$file.out")"
    "$rubato" export "$tmp/from-$file" --table layer0/weights -o "$tmp/two.npy" >/dev/null
    cmp "$tmp/one.npy" "$tmp/two.npy" || fail "the array has changed on its way through $file"
done
refused_init() { expect "$1" "$2" "$rubato" train "$run_file" --run-dir "$tmp/no" --init "$3" "${@:4}"; }
refused_init 2 'which table it is of must be said with --table: .layer0/weights' "$tmp/one.npy"
head -c 3000 "$tmp/line.onnx" >"$tmp/cut.onnx"
refused_init 4 "is no model of ONNX: protobuf ends" "$tmp/cut.onnx"
printf '\1\0\0\0\0\0\0\0[' >"$tmp/cut.safetensors"
refused_init 4 "cut.safetensors': its header is no JSON object" "$tmp/cut.safetensors"
refused_init 4 "'layer0/weights' is \\[.*\\], the model's is \\[" "$tmp/line.onnx" --layers 'conv: {filters: 2, kernel: 3}, dense: 10'
expect 4 "the shape of an example: .*nobody" "$rubato" export "$tmp/held" -o "$tmp/no.onnx" --data nobody
[[ ! -e $tmp/no.onnx ]] || fail "an unfinished file was left"
expect 2 "output '$tmp/line.h5': no format ends in '.h5'; expected .safetensors, .npz, " "$rubato" export "$tmp/held" -o "$tmp/line.h5"
printf '1 3:1\n' >"$tmp/text.svm"
expect 4 "data '$tmp/text.svm' are libsvm, model_kind sequential of this run reads idx" "$rubato" predict "$tmp/held" --data "$tmp/text.svm"

claim "under bsp the same weights, on two ps, and from a snapshot in mid-run on one"
crc=$(result "$tmp/one" weights_crc)
start_run "$tmp/two" --ps 2 --pace 40ms
wait_trained "$tmp/two" 100
expect 0 'snapshot [0-9]+ in ' "$rubato" snapshot save "$tmp/two"
expect_end "$train" 0
expect_value "$tmp/two" weights_crc "$crc"
expect 0 'goes on from snapshot' "$rubato" train "$run_file" --run-dir "$tmp/on" --resume "$tmp/two/snapshots/000001"
expect_value "$tmp/on" weights_crc "$crc"

claim "in float16 the loss is scaled: what overflows is left out and counted, and the weights repeat, on one ps and on two"
for ps in 1 2; do
    start_run "$tmp/half$ps" --precision f16 --layers "dense: 64, relu, dense: 64, relu, dense: 2" --optimizer sgd --lr 1 --batch 2 --epochs 1 --ps "$ps"
    expect_end "$train" 0
    expect_value "$tmp/half$ps" repeatable true
done
[[ $(result "$tmp/half1" weights_crc) == $(result "$tmp/half2" weights_crc) ]] || fail "the weights differ"
says "$tmp/half1/worker-0.log" 'training skipped [1-9]' || fail "nothing overflowed: $(cat "$tmp/half1/worker-0.log")"
refused "precision: f16, but with local_steps workers step on weights that have to be float32" --precision f16 --local-steps 2
refused "pull_codec: bf16, and precision f16: weights arrive as one" --precision f16 --pull-codec bf16

claim "training stops when validations are no better, whoever is killed; the best epoch's weights are those that were measured"
early=(--staleness async --epochs 500 --set test_images= --set test_labels= --set held_out=0.3)
judged=("${early[@]}" --set validation_patience=4 --set validation_metric=accuracy)
start_run "$tmp/early" "${judged[@]}" --pace 10ms
wait_trained "$tmp/early" 60
kill_member "$tmp/early" worker "--rank 0"
expect_end "$train" 0
expect_value "$tmp/early" stopped_early true
grep -q "figures above are of the last weights, .* eval $tmp/early --best" "$tmp/early.out" "$tmp/early.err" || fail "whose figures? $(cat "$tmp/early".*)"
best=$(sed -n '/"best"/,/}/p' "$tmp/early/result.json" | value value)
snapshot=$(sed -n '/"kept"/,/}/p' "$tmp/early/result.json" | value snapshot)
[[ $(ls "$tmp/early/snapshots") == "${snapshot##*/}" ]] || fail "$snapshot is not the one that is kept: $(ls "$tmp/early/snapshots")"
expect 0 "\"from\":\"$snapshot\"" "$rubato" eval "$tmp/early" --best --json
[[ $(value accuracy <"$tmp/said") == "$best" ]] || fail "accuracy was $best: $(cat "$tmp/said")"
expect 2 "is no run that has kept its best epoch" "$rubato" eval "$tmp/held" --best

claim "who goes on from the best epoch keeps what was the best, and the patience that is left"
expect 0 'stopped +early' "$rubato" train "$run_file" --run-dir "$tmp/later" "${judged[@]}" --resume "$snapshot"
best=$(sed -n '/"best"/,/}/p' "$tmp/later/result.json" | value value)
expect 0 . "$rubato" eval "$tmp/later" --best --json
[[ $(value accuracy <"$tmp/said") == "$best" ]] || fail "accuracy was $best: $(cat "$tmp/said")"

claim "what can not be judged is refused"
refused "validation_metric: 'auc' is no figure of this model: loss, accuracy" "${early[@]}" --set validation_patience=1 --set validation_metric=auc
refused "validation_metric: 'loss_scale' is no figure of this model: loss, accuracy" "${early[@]}" --precision f16 --set validation_patience=1 --set validation_metric=loss_scale
refused "validation_patience: there is nothing to validate on" --set test_images= --set test_labels= --set validation_patience=1
refused "validation_keep: with durability none there is no snapshot to keep" --durability none --set validation_keep=best
expect_nobody
