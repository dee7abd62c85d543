#!/usr/bin/env bash
# rubato data: what is in files, the same examples in another format, and a split that repeats; and training on it all.
source "$(dirname "$0")/fleet.sh"
data() { expect "$1" "$2" "$rubato" data "${@:3}"; }
cd "$tmp"
for ((i = 0; i < 2000; i++)); do
    echo "$((i % 2)),$((i % 7)).5,\"city $((i % 5))\""
done >rows.csv
{ echo 'clicked,price,city' && cat rows.csv; } >table.csv
columns=(--csv-words city)

claim "inspect says what a file has, and guesses its format"
printf 'a b\tis\tc\nc\tis\td\n' >triples
data 0 'relations +1' inspect triples
says said '^format +triples$' || fail "$(cat said)"
printf 'a b\tis\n2\tis\n' >pairs
data 4 "taken for tsv \(data_format may be another\): data file 'pairs', line 2, column 3" inspect pairs
data 4 "^rubato data: data file 'nobody.csv': it cannot be opened" split nobody.csv none
data 0 'examples +2000' inspect table.csv "${columns[@]}"
says said '^format +csv$' && says said '^labels_1 +1000$' && says said '^features +4000$' || fail "$(cat said)"
"$rubato" data inspect table.csv --json "${columns[@]}" | is_json || fail "not JSON"
printf '1,M\xfcnchen\n0,K\xc3\xb6ln\n' >latin.csv
"$rubato" data inspect latin.csv --json --csv-words all --csv-header false | is_json || fail "bytes that are not UTF-8 are no JSON"
data 4 "'table.csv', line 2, column 8: found 'city', expected a number or nothing in column 3" inspect table.csv
data 0 '^shape +28 x 28 x 1$' inspect "$data/t10k-images-idx3-ubyte.gz"
says said '^examples +10000$' && says said '^greatest_value +1$' || fail "$(cat said)"
data 0 'classes +10' inspect "$data/t10k-images-idx3-ubyte.gz" "$data/t10k-labels-idx1-ubyte.gz"

printf 'a\tlikes\tb\nb\tlikes\tc\na\tknows\tc\n' >triples.tsv
data 0 '^entities +3$' inspect triples.tsv --data-format triples
data 2 'triples has no examples to convert' convert triples.tsv none.svm --data-format triples
printf 'userId,movieId,rating\na,x,4\na,y,2.5\nb,x,1\n' >ratings.csv
data 0 '^mean_rating +2.5$' inspect ratings.csv --data-format ratings
printf '1::1193::5::978300760\n1::661::3::978302109\n' >ratings.dat
data 0 '^mean_rating +4$' inspect ratings.dat
printf '3,5,4,978300760\n4,5,2,978300761\n' >four.csv
data 2 "taken for ratings \(data_format may be another\): data_format: ratings has no examples to convert" convert four.csv none.svm
data 0 '^train +2 ratings' split four.csv four --parts 1
sed -i 's/2.5/good/' ratings.csv
data 4 "'ratings.csv', line 3, column 5: found 'good', expected the rating, a number" inspect ratings.csv --data-format ratings

claim "whatever reads it, a malformed file ends a command with 4, the file's name and the place"
printf '\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\2\xff\0\0\xff' >two.idx
refuses_bytes() { # BYTES PLACE FILE COMMAND...
    printf "$1" >"$3"
    expect 4 "$3'.*$2" "$rubato" "${@:4}"
}
refuses_bytes '1\t2\n0\ttwo\n' 'line 2, column 3: found .two.' bad.tab data inspect bad.tab --data-format tsv --csv-header false
refuses_bytes '1 1:1\n1 3:1 2:1\n' 'line 2, column 7: found .2:1.' bad.rows data inspect bad.rows
refuses_bytes '2\t\n' 'line 1, column 1: found .2.' bad.clicks data inspect bad.clicks --data-format criteo
refuses_bytes 'K\xf6ln\n' 'line 1, column 2: byte 0xf6' bad.words data inspect bad.words --data-format text
refuses_bytes '\0\0\x08\x01\0\0\0\2\1' 'ends at byte 9, expected 10 bytes' bad-labels data inspect two.idx bad-labels
refuses_bytes '\x93NUMPY\1\0\2\0[]' 'byte 10: found ' bad.npy data inspect bad.npy bad-labels
refuses_bytes '\x1f\x8b\x08' 'is truncated: its gzip checksum' bad.gz data inspect bad.gz
refuses_bytes '\x28\xb5\x2f\xfd\x08' 'zstd' bad.zst data inspect bad.zst
printf '0\tbad film\n' >few.tsv && printf '1 1\na 2\n' >good.vec
refuses_bytes 'documents\t3\nb\t4\n' 'line 2, column 1: found ' bad.dictionary data convert few.tsv none.svm --data-format text --vocabulary bad.dictionary
refuses_bytes '2 2\na 1 2\nb 1\n' 'line 3, column 4: it has fewer numbers' bad.vec neighbours bad.vec a
refuses_bytes '1 1\na \0\0\x80\x7f' 'byte 6: a number that is not finite' bad.bin neighbours bad.bin a
refuses_bytes 'a b\n' 'line 1, column 1: found .a., expected two words and a number' bad.pairs eval good.vec --pairs bad.pairs

claim "convert writes LIBSVM that says the same, from files and from standard input; or nothing"
data 0 '2000 examples of csv' convert table.csv rows.svm "${columns[@]}"
gzip -k table.csv
"$rubato" data convert - - --data-format csv "${columns[@]}" <table.csv.gz 2>/dev/null | cmp - rows.svm || fail "they differ"
data 0 '^features +4000$' inspect rows.svm
printf '1 1:1\n0 2:1\nx\n' >bad.svm
data 4 "taken for libsvm .*'bad.svm', line 3, column 1: found 'x', expected a label" convert bad.svm none.svm
data 2 "^rubato data: --epochs is not a flag of this command \(help says which are\)" inspect bad.svm --epochs 3
[[ ! -e none.svm && ! -e none.svm.part ]] || fail "a part was left"

printf '\0\0\x08\x01\0\0\0\2\3\1' >two-labels.idx
data 0 '2 examples of idx' convert two.idx two.svm --train-labels two-labels.idx
printf '3 1:1\n1 2:1\n' | cmp - two.svm || fail "images became $(cat two.svm)"
data 2 "train_labels is not set: idx has its labels in a file of their own" split two.idx none
data 2 "'s3://bucket': expected s3://bucket/key" convert two.idx none.svm --train-labels s3://bucket

claim "split deals every line to one part, each with its header, and the same lines for the same seed"
data 0 '^valid +[0-9]+ examples' split table.csv one --parts 0.6,0.2,0.2 "${columns[@]}"
data 0 '' split table.csv two --parts 0.6,0.2,0.2 "${columns[@]}"
diff -r one two || fail "a split does not repeat"
for part in train valid test; do
    [[ $(head -n 1 one/$part.csv) == clicked,price,city ]] || fail "no header in $part"
    tail -n +2 one/$part.csv
done | sort | cmp - <(sort rows.csv) || fail "lines were lost"
data 0 '' split table.csv three --parts 0.6,0.2,0.2 --seed 2 "${columns[@]}"
! cmp -s one/test.csv three/test.csv || fail "the seed says nothing"
cp one/train.csv before.csv
data 2 "'one/train.csv' would be written over data that are read, 'one/train.csv'" split one/train.csv one "${columns[@]}"
data 2 "'one/train.csv' would be written over" convert ./one/train.csv one/train.csv "${columns[@]}"
expect 2 "written over data that are read, 'standard input'" "$rubato" data convert - one/train.csv --data-format csv "${columns[@]}" <one/train.csv
cmp one/train.csv before.csv || fail "data were written over"
data 2 "taken for csv .*bag: is for texts, and csv has none" convert one/train.csv none.svm --bag tf "${columns[@]}"
data 2 "parts: '0.5,0.6', expected up to 3 numbers" split table.csv four --parts 0.5,0.6
data 74 "the parts' folder: cannot make folder '/dev/null" split table.csv /dev/null/four "${columns[@]}"
data 74 "cannot write '/nonexistent/rows.svm'" convert table.csv /nonexistent/rows.svm "${columns[@]}"
"$rubato" data split - piped --data-format csv --parts 0.6,0.2,0.2 "${columns[@]}" <table.csv.gz >/dev/null && diff -r one piped || fail "standard input"

claim "images and other arrays are dealt with their labels, in their format and shape; or nothing is left"
python3 - <<'PY'
import random, struct
draw = random.Random(4)
with open("60.idx", "wb") as images, open("60-labels.idx", "wb") as labels:
    images.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 60, 2, 3) + draw.randbytes(360))
    labels.write(struct.pack(">BBBBI", 0, 0, 12, 1, 60) + struct.pack(">60i", *(draw.randrange(300) for _ in range(60))))
def npy(path, kind, shape, items):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    open(path, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + items)
npy("60.npy", ">f8", (60, 2, 2, 2), struct.pack(">480d", *(draw.gauss(0, 1) for _ in range(480))))
npy("60-labels.npy", "<i8", (60,), struct.pack("<60q", *(draw.randrange(3) for _ in range(60))))
PY
for format in idx npy; do
    data 0 "^valid +[0-9]+ examples  dealt-$format/valid-images.$format dealt-$format/valid-labels.$format\$" \
        split 60.$format dealt-$format --train-labels 60-labels.$format --parts 0.5,0.25,0.25
    for part in train valid test; do
        data 0 "^shape +2 x $([[ $format == idx ]] && echo '3 x 1' || echo '2 x 2')" inspect dealt-$format/$part-images.$format
        "$rubato" data convert dealt-$format/$part-images.$format - --train-labels dealt-$format/$part-labels.$format 2>/dev/null
    done | sort >dealt.svm
    "$rubato" data convert 60.$format - --train-labels 60-labels.$format 2>/dev/null | sort | cmp - dealt.svm || fail "$format: examples were lost"
done
data 0 '^train +2 examples' split two.idx whole --train-labels two-labels.idx --parts 1
cmp two.idx whole/train-images.idx && cmp two-labels.idx whole/train-labels.idx || fail "an array is not what it was"
data 2 "parts: none of the 2 examples of 'two.idx' is drawn for valid" split two.idx nobody --train-labels two-labels.idx
data 2 "'whole/train-labels.idx' would be written over data that are read" split two.idx whole --train-labels whole/train-labels.idx --parts 1
data 4 "taken for idx .*'bad-labels' ends at byte 9" split two.idx nobody --train-labels bad-labels
data 2 "taken for csv .*train_labels: data_format is csv, only idx and npy have" split table.csv nobody --train-labels two-labels.idx
[[ ! -e nobody ]] || fail "parts were left: $(ls nobody)"

claim "ratings, triples and sentences are dealt whole, too; what their readers refuse leaves no part"
{ echo user,item,rating && seq -f 'u%g,café,3.5' 40; } >stars.csv
seq -f 'h%g	likes	t' 40 | sed G >likes.tsv
seq -f 'the sentence  %g, ' 40 | sed G >words.txt
gzip -k stars.csv words.txt
dealt() { # LINES SUFFIX FILES FLAGS...: every part has some of the lines
    data 0 "^valid +[0-9]+ $1  dealt-$1/valid.$2\$" split "$3" "dealt-$1" --parts 0.5,0.25,0.25 "${@:4}"
    (($(wc -l <"dealt-$1/train.$2") > 2 && $(wc -l <"dealt-$1/valid.$2") > 2 && $(wc -l <"dealt-$1/test.$2") > 2)) || fail "a part of $1 has too few"
}
dealt ratings ratings stars.csv.gz --data-format ratings
[[ $(head -qn 1 dealt-ratings/* | uniq -c) == *'3 user,item,rating' ]] || fail "headers: $(head -qn 1 dealt-ratings/*)"
grep -hv user dealt-ratings/* | sort | cmp - <(grep -v user stars.csv | sort) || fail "ratings were lost"
data 0 '^items +1$' inspect dealt-ratings/test.ratings --data-format ratings
dealt triples tsv likes.tsv --data-format triples
sort dealt-triples/* | cmp - <(grep . likes.tsv | sort) || fail "triples were lost"
dealt sentences txt words.txt.gz
sort dealt-sentences/* | cmp - <(grep . words.txt | sort) || fail "sentences were lost"
refuses() { # FORMAT SENTENCE FILES
    data 4 "$2" split "$3" refused --data-format "$1"
    [[ -z $(ls -A refused) ]] || fail "left: $(ls -A refused)"
}
{ cat stars.csv && echo u1,x,no; } >wrong && refuses ratings "'wrong', line 42, column 6: found 'no', expected the rating" wrong
{ cat likes.tsv && echo "a	b"; } >wrong && refuses triples "'wrong', line 81, column 4: found the line's end, expected a tab and the tail" wrong
{ cat words.txt && printf 'K\xf6ln\n'; } >wrong && refuses text "'wrong', line 81, column 2: found byte 0xf6, expected a word in UTF-8" wrong
{ cat words.txt && printf 'a %01025d\n' 1; } >wrong && refuses text "'wrong', line 81, column 3: found '0+', expected a word of at most 1024 bytes" wrong
echo >empty && refuses text "'empty' holds 0 lines of text" empty && refuses triples "0 lines of triples" empty && refuses ratings "0 lines of ratings" empty
printf 'a b 3\na,c b 4\n' >wrong && refuses ratings "'wrong', line 2, column 2: found ',c', expected a line that is cut at a blank wherever it stands" wrong
refuses ratings "'ratings.dat', line 1, column 2: found '::1193::5::978300760', expected a comma between the fields" stars.csv,ratings.dat

claim "what was split is trained on, and the held-out part scored"
printf 'model_kind: logistic\ndata_format: csv\ncsv_words: city\nbatch: 100\nepochs: 2\nworkers: 1\n' >run.yaml
"$rubato" train run.yaml --train-file one/train.csv --test-file one/test.csv --run-dir run >out 2>&1 || fail "$(cat out)"
says out '^test auc' || fail "$(cat out)"
[[ $(tail -n 1 run/metrics.jsonl) =~ '"examples_per_s":'([0-9]+) ]] && ((BASH_REMATCH[1] > 0)) || fail "no rate: $(tail -n 1 run/metrics.jsonl)"

claim "standard input is kept: two workers and two epochs learn from it what they learn from the file; what is wrong with it is said, and nothing is left"
for way in file pipe; do
    [[ $way == file ]] && from=one/train.csv || from=-
    "$rubato" train run.yaml --workers 2 --staleness bsp --train-file $from --test-file one/test.csv --run-dir $way <one/train.csv >out 2>&1 || fail "$(cat out)"
done
says out '^try next .*--set train_file=[^ ]*/pipe/standard-input ' || fail "try next forgets what came: $(cat out)"
[[ $(result pipe weights_crc) == $(result file weights_crc) ]] || fail "the weights differ"
cmp one/train.csv pipe/standard-input || fail "standard input was not kept as it came"
expect 0 'auc' "$rubato" eval pipe
gzip -c one/train.csv | "$rubato" train run.yaml --train-file - --run-dir packed >out 2>&1 || fail "$(cat out)"
[[ $(result packed examples) == $(result run examples) ]] || fail "packed: $(result packed examples) examples"
piped() { # CODE SENTENCE ARGUMENTS...: standard input is the file `wrong`
    expect "$1" "$2" "$rubato" train run.yaml "${@:3}" --run-dir none <wrong
    [[ ! -e none ]] || fail "left: $(ls -A none)"
}
{ head -n 5 one/train.csv && echo 'x,1'; } >wrong
piped 4 "standard input: .*standard-input', line 6, column 1" --train-file -
: >wrong
piped 4 'train_file: standard input is empty' --train-file -
piped 2 "test_file: a fleet's workers have no standard input" --train-file one/train.csv --test-file -
piped 2 "train_file: a fleet's workers have no standard input" --train-file one/train.csv,-
expect 4 'standard input can not be read: Bad file' "$rubato" train run.yaml --train-file - --run-dir none <&-
expect 77 "'pipe' holds an earlier run" "$rubato" train run.yaml --train-file one/train.csv --run-dir pipe
cmp one/train.csv pipe/standard-input || fail "a run that was refused took an earlier one's data"

claim "who waits for standard input leaves at the first signal, and leaves nothing"
"$rubato" train run.yaml --train-file - --run-dir none <&"$never" >waits 2>&1 &
waits=$!
wait_until 30 says waits '^standard input goes to' || fail "$(cat waits)"
kill -TERM $waits
expect_end $waits 143
[[ ! -e none ]] && says waits 'interrupted while standard input was read' || fail "$(cat waits; ls -A none)"

claim "linear regression finds the plane that the numbers lie on; softmax tells classes of sparse examples apart"
awk 'BEGIN { srand(1); print "y,a,b,city"
    for (i = 0; i < 900; i++) { a = rand() * 4 - 2; b = rand() * 4 - 2; c = i % 3; printf "%.6f,%.6f,%.6f,c%d\n", 3 * a - 2 * b + c + 5, a, b, c } }' >plane.csv
data 0 '^least_label +-[0-9.]+$' inspect plane.csv --csv-words city
printf 'model_kind: linear\ndata_format: csv\ncsv_words: city\nbatch: 50\nepochs: 30\nworkers: 2\noptimizer: adagrad\nlr: 0.5\n' >linear.yaml
"$rubato" train linear.yaml --train-file plane.csv --set held_out=0.1 --staleness bsp --run-dir linear >out 2>&1 || fail "$(cat out)"
awk -v rmse="$(result linear rmse)" 'BEGIN { exit !(rmse < 0.02) }' || fail "rmse: $(cat out)"
expect 0 '^test rmse +0\.0' "$rubato" eval linear --data plane.csv
! says said perplexity || fail "a number is not unsure among classes: $(cat said)"
"$rubato" predict linear --data plane.csv -o plane.txt 2>/dev/null || fail "no predictions"
paste -d, plane.txt <(tail -n +2 plane.csv) | awk -F, '{ e = $1 - $2; s += e * e } END { exit !(NR == 900 && s / NR < 0.0004) }' || fail "$(head -n 3 plane.txt)"
expect 2 'predictions: class, but what is predicted are numbers' "$rubato" predict linear --data plane.csv --predictions class
awk 'BEGIN { srand(2); for (i = 0; i < 900; i++) { c = int(rand() * 3); printf "%d %d:1 %d:%.3f\n", c, c + 1 + 3 * int(rand() * 2), 10 + c, rand() } }' >classes.svm
expect 2 'classes: 0, softmax over sparse examples wants to know' "$rubato" train linear.yaml --set model_kind=softmax --data-format libsvm \
    --train-file classes.svm --run-dir none
expect 4 "expected a class from 0 to 1" "$rubato" train linear.yaml --set model_kind=softmax --data-format libsvm --set classes=2 \
    --train-file classes.svm --run-dir none
"$rubato" train linear.yaml --set model_kind=softmax --data-format libsvm --set classes=3 --train-file classes.svm --set held_out=0.1 \
    --epochs 5 --run-dir softmax >out 2>&1 || fail "$(cat out)"
[[ $(result softmax accuracy) == 1* ]] || fail "$(cat out)"
expect 0 '^test accuracy +1\.0000' "$rubato" eval softmax --data classes.svm
"$rubato" predict softmax --data classes.svm 2>/dev/null | cmp - <(cut -d' ' -f1 classes.svm) || fail "classes"
"$rubato" predict softmax --data classes.svm --predictions probability 2>/dev/null |
    awk -F'\t' '{ s = $1 + $2 + $3 - 1; if (NF != 3 || s * s > 1e-10) exit 1 }' || fail "probabilities"
expect 2 'onnx holds networks .*, not model_kind softmax of libsvm' "$rubato" export softmax -o softmax.onnx
"$rubato" export softmax -o softmax.npz >/dev/null || fail "no export"
expect 0 'table linear/weights begins with' "$rubato" train linear.yaml --set model_kind=softmax --data-format libsvm --set classes=3 \
    --train-file classes.svm --epochs 1 --init softmax.npz --run-dir softmax-2

claim "a network learns from a table, whose columns keep their places and names"
awk 'BEGIN { srand(3); print "a,class,b"
    for (i = 0; i < 900; i++) { c = i % 3; t = (c + rand() / 2) * 2.0944; printf "%.5f,%d,%.5f\n", cos(t), c, sin(t) } }' >rings.csv
head -n 601 rings.csv >rings-train.csv && { head -n 1 rings.csv && tail -n 300 rings.csv; } >rings-test.csv
cat >mlp.yaml <<YAML
model: {kind: mlp, hidden: 16}
data: {data_format: csv, csv_label: class, train_file: rings-train.csv, test_file: rings-test.csv}
train: {batch: 50, epochs: 15, optimizer: adam, lr: 1e-2}
job: {workers: 2, staleness: bsp}
YAML
mlp() { expect "$1" "$2" "$rubato" train mlp.yaml --run-dir none "${@:3}"; }
sed '500s/,[0-9.-]*$/,/' rings-train.csv >rings-bad.csv
mlp 4 "'rings-bad.csv', line 500, column [0-9]+: found the line's end, expected a number in column 3" --train-file rings-bad.csv
mlp 4 "'rings-train.csv', line 4, column [0-9]+: found '2,.*', expected a class from 0 to 1" --classes 2
mlp 2 "csv_words: 'a', model_kind mlp takes columns of numbers alone" --csv-words a
mlp 2 "train_images: data_format csv has its labels in a column, expected train_file and test_file" \
    --train-images two.idx --train-labels two-labels.idx
mlp 2 'held_out and valid_file: both say what is validated on' --set held_out=0.1 --set valid_file=rings-test.csv
mlp 2 "train_file: model_kind mlp does not read it where data_format is idx, expected train_images, or data_format csv or tsv" --data-format idx
mlp 2 "best: is for commands that use a trained model, such as eval; train does not read it" --set best=true
sed 1s/b/c/ rings-test.csv >rings-other.csv
mlp 4 "'rings-other.csv', line 1, column 9: found 'c', expected 'b' as column 3, as in 'rings-train.csv'" --test-file rings-other.csv
"$rubato" train mlp.yaml --run-dir mlp >out 2>&1 || fail "$(cat out)"
awk -v accuracy="$(result mlp accuracy)" 'BEGIN { exit !(accuracy > 0.95) }' || fail "$(cat out)"
expect 0 "^test accuracy +$(printf %.4f "$(result mlp accuracy)")" "$rubato" eval mlp
expect 4 "'rings-other.csv', line 1, column 9: found 'c', expected 'b' as column 3" "$rubato" eval mlp --data rings-other.csv
sed '2s/,[0-2],/,3,/' rings-test.csv >rings-strange.csv
expect 4 "'rings-strange.csv', line 2, column [0-9]+: found '3,.*', expected a class from 0 to 2" "$rubato" eval mlp --data rings-strange.csv
expect 4 "'two.idx' are idx, model_kind mlp of this run reads csv" "$rubato" predict mlp --data two.idx
"$rubato" predict mlp --data rings-test.csv -o rings.txt >/dev/null
cut -d, -f1,3 rings-test.csv | "$rubato" predict mlp --data - | cmp - rings.txt || fail "the label has changed predictions"
cut -d, -f1,3 rings-test.csv >unlabelled.csv && "$rubato" predict mlp --data unlabelled.csv | cmp - rings.txt || fail "they differ"
paste -d' ' rings.txt <(tail -n 300 rings.csv | cut -d, -f2) | awk -v accuracy="$(result mlp accuracy)" \
    '{ n += $1 == $2 } END { exit !(NR == 300 && (n / NR - accuracy) ^ 2 < 1e-12) }' || fail "$(head -n 3 rings.txt)"
"$rubato" export mlp -o mlp.onnx >/dev/null || fail "no graph"
sed 1s/city/town/ one/test.csv >town.csv
expect 4 "'town.csv', line 1, column 15: found 'town', expected 'city' as column 3, as in 'one/train.csv'" \
    "$rubato" train run.yaml --train-file one/train.csv --test-file town.csv --run-dir none
expect 4 "'town.csv', line 1, column 15: found 'town', expected 'city'" "$rubato" predict run --data town.csv
expect 2 'classes: 3, model_kind linear has none, only networks and softmax have' "$rubato" train linear.yaml --train-file plane.csv \
    --classes 3 --run-dir none

claim "texts become bags of words, test data by the vocabulary of the training data, and a model is trained on them"
for ((i = 0; i < 600; i++)); do
    printf '%d\tThe %s %s, text %d.\n' $((i % 2)) "$( ((i % 2)) && echo GOOD || echo bad)" "film$((i % 9))" "$i"
done >texts.tsv
data 4 "'table.csv', line 1, column 1: found 'clicked,price,city', expected a label" convert table.csv none.svm --data-format text
data 2 'tfidf of hashed words' convert texts.tsv none.svm --data-format text --bag-hash
data 2 "for '-', --vocabulary must name one" convert texts.tsv - --data-format text
head -n 500 texts.tsv >bag-train.tsv && tail -n 100 texts.tsv >bag-test.tsv
data 0 '^500 texts, 13 words$' convert bag-train.tsv bag-train.svm --data-format text --min-documents 2
[[ $(head -n 2 bag-train.svm.words | tr '\t\n' '  ') == 'documents 500 bad 250 ' ]] || fail "$(head -n 2 bag-train.svm.words)"
data 0 '^100 texts, 13 words$' convert bag-test.tsv bag-test.svm --data-format text --vocabulary bag-train.svm.words
data 2 "would be written over data that are read" convert bag-test.tsv bag-train.svm.words --data-format text --vocabulary bag-train.svm.words
data 2 'min_documents: chooses words when a vocabulary is made' convert bag-test.tsv none.svm --data-format text --vocabulary bag-train.svm.words --min-documents 2
data 2 'max_features: chooses words .* with bag_hash there is none' convert bag-test.tsv none.svm --data-format text --bag count --bag-hash --max-features 9
data 0 '^100 texts, words hashed$' convert bag-test.tsv hashed.svm --data-format text --bag count --bag-hash --set hash_bits=24
data 0 '^features +500$' inspect hashed.svm
"$rubato" train run.yaml --data-format libsvm --train-file bag-train.svm --test-file bag-test.svm --run-dir bags >out 2>&1 || fail "$(cat out)"
says out '^test auc +1\.0000' || fail "$(cat out)"
