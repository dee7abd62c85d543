#!/usr/bin/env bash
# What is done with a trained model: it is exported, measured and asked, from a run directory and without its fleet.
source "$(dirname "$0")/fleet.sh"

run_file=$source_dir/examples/clicks.yaml
"$source_dir/scripts/clicks-data" "$tmp/clicks" --rows 4000 --test-rows 1000
cd "$tmp" # the run file says clicks/train.tsv

claim "what is no model is refused"
expect 2 "'$tmp' is neither a run directory nor a whole snapshot" "$rubato" export "$tmp"
expect 2 'one model is expected, not 0' "$rubato" eval
for command in eval predict export neighbours recommend 'snapshot verify' 'snapshot restore'; do # as an absent --train-file
    expect 4 "there is no '$tmp/nothing'|data file '$tmp/nothing': it cannot be opened" "$rubato" $command "$tmp/nothing" $(
        case $command in predict) echo --data x ;; neighbours | recommend) echo x ;; *restore) echo "--to $tmp/to" ;; esac)
done
expect 4 "^rubato eval: there is no '$tmp/nothing'" "$rubato" eval "$tmp/nothing" --pairs x
for flag in --init --resume; do
    expect 4 "^rubato train: ${flag#--}: there is no '$tmp/nothing'" "$rubato" train "$run_file" $flag "$tmp/nothing" --run-dir "$tmp/no"
done
expect 2 '--data names the examples' "$rubato" predict "$tmp"

claim "clicks: the model's figures are those that its one worker reported, all pairs counted"
start_run "$tmp/fm" --set model_kind=fm --batch 256 --epochs 2 --ps 2
expect_end "$train" 0
expect 0 '"examples":1000,' "$rubato" eval "$tmp/fm" --json
for figure in loss auc accuracy; do
    awk -v a="$(value $figure <"$tmp/said")" -v b="$(result "$tmp/fm" $figure)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' ||
        fail "$figure: $(value $figure <"$tmp/said"), the run said $(result "$tmp/fm" $figure)"
done

claim "predictions come in the order of the data, from a file and from standard input, and make the same loss"
expect 0 "p.txt: 1000 predictions with the weights of $tmp/fm" "$rubato" predict "$tmp/fm" --data clicks/test.tsv -o p.txt
"$rubato" predict "$tmp/fm" --data - <clicks/test.tsv | cmp - p.txt || fail "standard input gives other predictions"
paste p.txt clicks/test.tsv | awk -v loss="$(result "$tmp/fm" loss)" '{ sum -= log($2 ? $1 : 1 - $1) }
    END { exit !((sum / NR - loss) ^ 2 < 1e-10) }' || fail "the predictions' loss is not $(result "$tmp/fm" loss)"
[[ $("$rubato" predict "$tmp/fm" --data clicks/test.tsv --predictions class | sort | uniq -c | wc -l) == 2 ]] || fail "classes"
{ head -n 2 clicks/test.tsv && echo nonsense; } >bad.tsv
expect 4 "'bad.tsv', line 3, column 1: found 'nonsense', expected the label" "$rubato" predict "$tmp/fm" --data bad.tsv -o bad.txt
[[ ! -e bad.txt && ! -e bad.txt.part ]] || fail "an unfinished file was left"
expect 2 "'s3://bucket': expected s3://bucket/key" "$rubato" predict "$tmp/fm" --data s3://bucket
expect 2 "'s3://bucket': expected s3://bucket/key" "$rubato" eval "$tmp/fm" --data s3://bucket

claim "safetensors, npz and tsv hold the same rows, as a reader of a few lines finds them"
"$rubato" export "$tmp/fm" -o m.safetensors >/dev/null
"$rubato" export "$tmp/fm" -o m.npz >/dev/null
"$rubato" export "$tmp/fm" --table fm/factors -o f.tsv >/dev/null
python3 - <<'PYTHON' || fail "the files do not hold the same"
import json, math, struct, zipfile, zlib
data = open("m.safetensors", "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + n])
assert n % 8 == 0 and header.pop("__metadata__")["model_kind"] == "fm"
def tensor(name):
    entry = header[name]
    begin, end = entry["data_offsets"]
    kind, size = {"F32": ("f", 4), "U64": ("Q", 8)}[entry["dtype"]]
    assert end - begin == size * math.prod(entry["shape"]) and (8 + n + begin) % size == 0
    return struct.unpack(f"<{math.prod(entry['shape'])}{kind}", data[8 + n + begin:8 + n + end]), entry["shape"]
keys, (rows,) = tensor("fm/factors.keys")
values, shape = tensor("fm/factors")
assert shape == [rows, 8] and list(keys) == sorted(set(keys))
assert max(e["data_offsets"][1] for e in header.values()) == len(data) - 8 - n
lines = [line.split("\t") for line in open("f.tsv").read().splitlines()]
assert [int(line[0]) for line in lines] == list(keys)
assert [struct.unpack("f", struct.pack("f", float(v)))[0] for line in lines for v in line[1:]] == list(values)
archive = zipfile.ZipFile("m.npz")
assert archive.testzip() is None and set(archive.namelist()) == {name + ".npy" for name in header}
array = archive.read("fm/factors.npy")
assert array[:8] == b"\x93NUMPY\x01\x00" and f"'shape': ({rows}, 8)".encode() in array
assert array[-4 * rows * 8:] == struct.pack(f"<{rows * 8}f", *values)
PYTHON
expect 2 "npy holds one array: choose with --table" "$rubato" export "$tmp/fm" -o m.npy
expect 2 "no table 'nobody'; there are: " "$rubato" export "$tmp/fm" -o m.npz --table nobody
expect 74 "cannot write '/nonexistent/m.npz'" "$rubato" export "$tmp/fm" -o /nonexistent/m.npz

claim "a new job begins with the weights of a run, or of a file, on other shards, and what it does not learn stays"
start_run "$tmp/warm" --set model_kind=fm --batch 256 --epochs 1 --init m.npz --set lr=0
expect_end "$train" 0
says "$tmp/warm.out" "^table fm/factors begins with [0-9]+ rows of m.npz" || fail "it does not say so: $(cat "$tmp/warm.out")"
awk -v a="$(result "$tmp/warm" loss)" -v b="$(result "$tmp/fm" loss)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' ||
    fail "loss $(result "$tmp/warm" loss), it was $(result "$tmp/fm" loss)"
"$rubato" export "$tmp/warm" --table fm/factors -o g.tsv >/dev/null
cmp f.tsv g.tsv || fail "rows have changed"
start_run "$tmp/tsv" --set model_kind=fm --batch 256 --epochs 1 --init f.tsv --table fm/factors --set lr=0
expect_end "$train" 0
says "$tmp/tsv.out" '^table linear/weights begins anew' || fail "it does not say so: $(cat "$tmp/tsv.out")"
"$rubato" export "$tmp/tsv" --table fm/factors -o g.tsv >/dev/null
comm -23 <(sort f.tsv) <(sort g.tsv) | cmp - /dev/null || fail "rows of lines have changed"
sed '3s/\t/,/' f.tsv >bad.tsv
expect 4 "init: 'bad.tsv': data file 'bad.tsv', line 3, column 1: .*expected the row's number and a tab" \
    "$rubato" train "$run_file" --set model_kind=fm --init bad.tsv --table fm/factors --run-dir "$tmp/no"
expect 2 "init: 'f.tsv': which table it is of must be said with --table: 'linear/weights', 'fm/factors'" \
    "$rubato" train "$run_file" --set model_kind=fm --init f.tsv --run-dir "$tmp/no"
cp f.tsv f.txt
expect 2 "init: 'f.txt': its name ends in no format that model_kind fm begins from" \
    "$rubato" train "$run_file" --set model_kind=fm --init f.txt --run-dir "$tmp/no"
expect 2 "table: the model has no 'fm/factors', it has 'linear/weights'" \
    "$rubato" train "$run_file" --init f.tsv --table fm/factors --run-dir "$tmp/no"
expect 2 "table: 'fm/factors', but only files of one table" \
    "$rubato" train "$run_file" --set model_kind=fm --init m.npz --table fm/factors --run-dir "$tmp/no"
"$rubato" export "$tmp/fm" --table fm/factors -o f.npy >/dev/null
expect 2 "an array has no keys, and the rows of 'fm/factors' have" \
    "$rubato" train "$run_file" --set model_kind=fm --init f.npy --table fm/factors --run-dir "$tmp/no"
expect 2 "table: 'fm/factors' is of no file, since init names none" "$rubato" train "$run_file" --table fm/factors --run-dir "$tmp/no"
expect 2 "init: 'm.npz': table 'fm/factors' has rows 8 wide, expected rows 4 wide" \
    "$rubato" train "$run_file" --set model_kind=fm --set factors=4 --init m.npz --run-dir "$tmp/no"
expect 2 "it has a table 'fm/factors', which the model does not have" "$rubato" train "$run_file" --init m.npz --run-dir "$tmp/no"
expect 4 "init: 'clicks/test.tsv': data file 'clicks/test.tsv', line 1" "$rubato" train "$run_file" --init clicks/test.tsv --run-dir "$tmp/no"
expect 2 'init needs stores to put weights into' "$rubato" train "$run_file" --init m.npz --durability none --run-dir "$tmp/no"
[[ ! -e $tmp/no ]] || fail "a refused run left its folder"

claim "deepfm: measured on the part that it held out, asked, and begun from, its network with its rows"
start_run "$tmp/deep" --set model_kind=deepfm --set hidden=16 --test-file '' --set held_out=0.2 --batch 256 --epochs 1 --ps 2
expect_end "$train" 0
expect 0 '"examples":[0-9]+,' "$rubato" eval "$tmp/deep" --json
n=$(value examples <"$tmp/said")
((n > 600 && n < 1000 && n + $(result "$tmp/deep" examples) == 4000)) || fail "$n examples were held out"
awk -v a="$(value loss <"$tmp/said")" -v b="$(result "$tmp/deep" loss)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' ||
    fail "loss $(value loss <"$tmp/said"), the run said $(result "$tmp/deep" loss)"
"$rubato" predict "$tmp/deep" --data clicks/test.tsv -o d.txt >/dev/null
expect 0 '"examples":1000,' "$rubato" eval "$tmp/deep" --data clicks/test.tsv --json
paste d.txt clicks/test.tsv | awk -v loss="$(value loss <"$tmp/said")" '{ sum -= log($2 ? $1 : 1 - $1) }
    END { exit !((sum / NR - loss) ^ 2 < 1e-10) }' || fail "the predictions' loss is not $(value loss <"$tmp/said")"
"$rubato" export "$tmp/deep" -o d.safetensors >/dev/null
start_run "$tmp/deeper" --set model_kind=deepfm --set hidden=16 --batch 256 --epochs 1 --init d.safetensors --set lr=0
expect_end "$train" 0
says "$tmp/deeper.out" "^table layer0/weights begins with d.safetensors" || fail "it does not say so: $(cat "$tmp/deeper.out")"
awk -v a="$(value loss <"$tmp/said")" -v b="$(result "$tmp/deeper" loss)" 'BEGIN { exit !((a - b) ^ 2 < 1e-14) }' ||
    fail "loss $(result "$tmp/deeper" loss), it was $(value loss <"$tmp/said")"
expect 2 "table 'layer0/weights' has 4992 numbers, expected 2496" "$rubato" eval "$tmp/deep" --data clicks/test.tsv --set hidden=8
expect 2 "table 'layer0/weights' has 4992 numbers, expected 4864" "$rubato" eval "$tmp/deep" --data clicks/test.tsv --set fields=38
expect 2 'onnx holds networks \(softmax, mlp, sequential\), not model_kind deepfm' "$rubato" export "$tmp/deep" -o d.onnx

claim "a model is not taken for another one, and a damaged store is not taken for a model"
expect 2 "the weights are not of a model of kind mlp" "$rubato" predict "$tmp/fm" --set model_kind=mlp --set data_format=idx --data "$data/t10k-images-idx3-ubyte.gz"
expect 2 "table 'fm/factors' has rows 8 wide, expected rows 4 wide" "$rubato" eval "$tmp/fm" --set factors=4
rm -r "$tmp/fm/ps-1"
expect 74 'of shard 0 of 2, of 1 stores together' "$rubato" export "$tmp/fm"
expect_nobody

claim "images: the same classes and figures, from a gzip file and from standard input"
run_file=$source_dir/examples/fashion-mnist.yaml
start_run "$tmp/images" --set "train_images=$data/t10k-images-idx3-ubyte.gz" --set "train_labels=$data/t10k-labels-idx1-ubyte.gz" \
    --epochs 1 --set hidden=[16] --staleness bsp
expect_end "$train" 0
expect 0 '"examples":10000,' "$rubato" eval "$tmp/images" --json
awk -v p="$(value perplexity <"$tmp/said")" -v loss="$(value loss <"$tmp/said")" 'BEGIN { exit !(p > 1 && (log(p) - loss) ^ 2 < 1e-10) }' ||
    fail "perplexity is not exp(loss): $(cat "$tmp/said")"
[[ $(value accuracy <"$tmp/said") == "$(result "$tmp/images" accuracy)" ]] || fail "accuracy: $(cat "$tmp/said")"
"$rubato" predict "$tmp/images" --data "$data/t10k-images-idx3-ubyte.gz" -o classes.txt >/dev/null
(($(wc -l <classes.txt) == 10000)) || fail "$(wc -l <classes.txt) predictions"
zcat "$data/t10k-images-idx3-ubyte.gz" | "$rubato" predict "$tmp/images" --data - | cmp - classes.txt || fail "they differ"
python3 - "$data/t10k-images-idx3-ubyte.gz" <<'END' # the same images as NumPy's arrays, one of them not whole
import gzip, struct, sys, zipfile
pixels = gzip.open(sys.argv[1]).read()[16:]
head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (10000, 28, 28), }\n"
array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + pixels
open("images.npy", "wb").write(array)
open("short.npy", "wb").write(array[:-1])
with zipfile.ZipFile("images.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
    archive.writestr("x.npy", array)
    archive.writestr("y.npy", array[:1000])
END
for words in images.npy images.npz:x; do
    "$rubato" predict "$tmp/images" --data "$words" | cmp - classes.txt || fail "of $words they differ"
done
"$rubato" predict "$tmp/images" --set data_format=npy --data - <images.npy | cmp - classes.txt || fail "they differ"
expect 4 "data file 'short.npy'.* ends" "$rubato" predict "$tmp/images" --data short.npy -o none.txt
[[ ! -e none.txt ]] || fail "half a file was left"
expect 4 "data file 'images.npz:y'" "$rubato" predict "$tmp/images" --data images.npz:y
expect 2 "t10k-labels-idx1-ubyte.gz' has 1 numbers per example: table 'layer0/weights' has" \
    "$rubato" predict "$tmp/images" --data "$data/t10k-labels-idx1-ubyte.gz"
zcat "$data/t10k-labels-idx1-ubyte.gz" | tail -c 10000 | od -An -v -tu1 -w1 | tr -d ' ' | paste - classes.txt |
    awk -v accuracy="$(result "$tmp/images" accuracy)" '{ n += $1 == $2 } END { exit !((n / NR - accuracy) ^ 2 < 1e-12) }' ||
    fail "the classes are not $(result "$tmp/images" accuracy) right"
expect_nobody
