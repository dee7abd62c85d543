#!/usr/bin/env bash
# Word vectors by a fleet: what is wrong with a text is refused before anything starts; vectors come out in word2vec's
# format, and words that stand in the same places come out alike.
source "$(dirname "$0")/fleet.sh"

run_file=$source_dir/examples/words.yaml
text=$tmp/text

# Words of eight topics, each with its own places: a topic's words meet only each other and the words that all have.
awk 'BEGIN {
    srand(7)
    for (s = 0; s < 6000; s++) {
        t = int(rand() * 8)
        for (i = 0; i < 12; i++) {
            printf "%s%s", rand() < 0.3 ? "all" int(rand() * 20) : "t" t "w" int(rand() * 12), i < 11 ? " " : "\n"
        }
    }
}' >"$text"
head -n 300 "$text" >"$tmp/held-out"
options=(--set "train_file=$text" --set dim=32 --set batch=6000 --set epochs=3 --set lr=0.05 --set sample=0.01)

claim "what skipgram can not train is refused before anything starts"
printf 'a b\nc \377\n' >"$tmp/bad"
expect 4 "$tmp/bad', line 2, column 3: byte 0xff of a word is not UTF-8" "$rubato" train "$run_file" --run-dir "$tmp/no" --train-file "$tmp/bad"
echo a b >"$tmp/short"
expect 4 "$tmp/short': none of its 2 words occurs 5 times" "$rubato" train "$run_file" --run-dir "$tmp/no" --train-file "$tmp/short"
expect 2 'optimizer: adam, skipgram .* expected add' "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --optimizer adam
expect 2 'n-grams of 7 to 6 characters' "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --maxn 6 --set minn=7
expect 2 'data_format: idx, skipgram trains on text' "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --data-format idx
expect 4 'none of its 2 words is in the vocabulary' "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --test-file "$tmp/short"
expect 2 'vectors: /nonexistent/v.txt' "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --vectors /nonexistent/v.txt

# How alike, by cosine, words of one topic are on the average, less words of two.
apart() {
    awk 'NR > 1 && $1 ~ /^t/ {
        n = 0
        for (i = 2; i <= NF; i++) { n += $i * $i }
        for (i = 2; i <= NF; i++) { v[NR, i] = $i / sqrt(n) }
        topic[NR] = substr($1, 1, 2); width = NF; last = NR
    }
    END {
        for (a in topic) for (b in topic) if (a < b) {
            dot = 0
            for (i = 2; i <= width; i++) { dot += v[a, i] * v[b, i] }
            same = topic[a] == topic[b]; sum[same] += dot; pairs[same]++
        }
        print sum[1] / pairs[1] - sum[0] / pairs[0]
    }' "$1"
}

claim "two workers learn which words go together, and rank 0 leaves vectors and vocabulary"
start_run "$tmp/bsp1" "${options[@]}" --workers 2 --staleness bsp --set reduce=sum --test-file "$tmp/held-out" --vectors "$tmp/one.txt" \
    --set validation_keep=best
expect_end "$train" 0
expect_value "$tmp/bsp1" status ok
[[ $(head -n 1 "$tmp/one.txt") == "116 32" ]] || fail "vectors begin with $(head -n 1 "$tmp/one.txt")"
(($(wc -l <"$tmp/one.txt") == 117)) || fail "vectors have $(wc -l <"$tmp/one.txt") lines"
diff <(sed 1d "$tmp/one.txt" | cut -d' ' -f1) <(cut -d' ' -f1 "$tmp/bsp1/vocabulary.txt") || fail "vectors and vocabulary differ"
(($(awk '{ n += $2 } END { print n }' "$tmp/bsp1/vocabulary.txt") == 72000)) || fail "counts do not add up"
awk -v a="$(apart "$tmp/one.txt")" 'BEGIN { exit !(a > 0.3) }' || fail "topics are $(apart "$tmp/one.txt") apart"
awk -v a="$(result "$tmp/bsp1" loss)" 'BEGIN { exit !(a > 0 && a < 3.2) }' || fail "loss is $(result "$tmp/bsp1" loss)" # 4.16 at first: 6 log 2

claim "under bsp the same vectors come from any number of ps, bit for bit"
RUBATO_REDUCE=sum start_run "$tmp/bsp2" "${options[@]}" --workers 2 --ps 2 --staleness bsp --vectors "$tmp/two.txt"
expect_end "$train" 0
says "$tmp/bsp2.out" '^try next .* --set reduce=mean --staleness 4  *nobody waits' || fail "try next: $(cat "$tmp/bsp2.out")"
cmp "$tmp/one.txt" "$tmp/two.txt" || fail "vectors differ"

claim "a job goes on with the text that its rows are of, and not with one that has its words in another order"
snapshots=("$tmp/bsp1/snapshots"/*)
sed 's/\<'"$(sed -n '1s/ .*//p' "$tmp/bsp1/vocabulary.txt")"'\>/first-no-more/g' "$tmp/text" >"$tmp/edited"
expect 4 "train_file '$tmp/edited': its word number 0 is 'first-no-more', expected '[^']*', which the job's rows are of \\('$tmp/resumed/vocabulary.txt'" \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/resumed" --staleness bsp --set reduce=sum --workers 2 --train-file "$tmp/edited" \
    --epochs 20 --resume "${snapshots[-1]}"

claim "stale, prefetched and as bf16 they are as good, and a name in .bin makes them binary"
start_run "$tmp/ssp" "${options[@]}" --workers 2 --staleness 2 --codec bf16 --pull-codec bf16 --vectors "$tmp/three.bin"
expect_end "$train" 0
words=$(cut -d' ' -f1 "$tmp/ssp/vocabulary.txt" | wc -c) # with a line feed each
(($(stat -c %s "$tmp/three.bin") == 7 + words + 116 * (1 + 32 * 4))) || fail "$(stat -c %s "$tmp/three.bin") bytes of vectors"
awk -v a="$(result "$tmp/ssp" train_loss)" 'BEGIN { exit !(a > 0 && a < 3.2) }' || fail "loss is $(result "$tmp/ssp" train_loss)"

claim "with n-grams a word that no text had is near its like, in neighbours and in tests; files have whole words"
start_run "$tmp/ngrams" "${options[@]}" --workers 1 --model-kind cbow --set minn=3 --maxn 6 --set bucket=5000 --vectors "$tmp/ngrams.txt"
expect_end "$train" 0
expect 0 '^t3w4s$' "$rubato" neighbours "$tmp/ngrams" t3w4s --nearest 5
(($(grep -c '^  t3w[0-9]* *0\.' "$tmp/said") >= 4)) || fail "neighbours: $(cat "$tmp/said")"
expect 2 "'t3w4s' is none of the 116 words" "$rubato" neighbours "$tmp/ngrams.txt" t3w4s
expect 2 "best: '$tmp/ngrams.txt' is no run" "$rubato" neighbours "$tmp/ngrams.txt" t3w4 --best
expect 2 "is no run that has kept its best epoch" "$rubato" neighbours "$tmp/ngrams" t3w4 --best
expect 0 '^t3w4$' "$rubato" neighbours "$tmp/bsp1" t3w4 --best
expect 0 'as word2vec' "$rubato" export "$tmp/ngrams" -o "$tmp/ngrams2.txt"
cmp "$tmp/ngrams.txt" "$tmp/ngrams2.txt" || fail "the exported vectors differ from those that rank 0 wrote"
expect 0 'as word2vec' "$rubato" export "$tmp/ngrams" --table words/in -o "$tmp/rows.txt"
cmp -s "$tmp/ngrams.txt" "$tmp/rows.txt" && fail "vectors are rows without n-grams"
printf 't3w4s t3w5 9\nt3w4s t4w5 1\nt2w1s t2w2 8\n' >"$tmp/unseen"
expect 0 '1.0000 .Spearman. over 3 pairs, 0 left out' "$rubato" eval "$tmp/ngrams" --pairs "$tmp/unseen"
expect 4 'none of its 3 lines' "$rubato" eval "$tmp/ngrams.txt" --pairs "$tmp/unseen"
expect 0 '"loss":[0-9.]+' "$rubato" eval "$tmp/ngrams" --data "$tmp/held-out" --json
expect 2 'its n-grams have minn 3, maxn 6, bucket 5000; the run asks for 3, 6, 6000' "$rubato" train "$run_file" "${options[@]}" \
    --maxn 6 --set bucket=6000 --init "$tmp/ngrams" --run-dir "$tmp/no"

claim "rank 0 is lost for good: the next one leaves the vectors"
mkdir "$tmp/hand"
"$rubato" scheduler --scheduler tcp://127.0.0.1:0 --workers 2 --ps 1 --staleness 2 --lease 1s --run-dir "$tmp/hand" >"$tmp/scheduler.log" 2>&1 &
scheduler=$!
wait_until "$patience_s" says "$tmp/scheduler.log" '^scheduler at' || fail "no scheduler: $(cat "$tmp/scheduler.log")"
address=$(sed -n 's/^scheduler at //p' "$tmp/scheduler.log")
"$rubato" ps --scheduler "$address" --ps 1 --run-dir "$tmp/hand" >"$tmp/ps.log" 2>&1 &
ps=$!
for rank in 0 1; do
    "$rubato" worker "$run_file" "${options[@]}" --set epochs=8 --scheduler "$address" --rank "$rank" --run-dir "$tmp/hand" \
        --vectors "$tmp/four.txt" >"$tmp/worker-$rank.log" 2>&1 &
    worker[rank]=$!
done
wait_until "$patience_s" says "$tmp/scheduler.log" 'all are here' || fail "not all are here: $(cat "$tmp/scheduler.log" "$tmp"/worker-*.log)"
kill -9 "${worker[0]}"
expect_end "${worker[1]}" 0
says "$tmp/scheduler.log" 'rank 0 .*is evicted' || fail "rank 0 was not given up: $(cat "$tmp/scheduler.log")"
(($(wc -l <"$tmp/four.txt") == 117)) || fail "vectors have $(wc -l <"$tmp/four.txt") lines"
expect_end "$ps" 0
kill "$scheduler" # it would wait some seconds for somebody to ask how it was
wait "$scheduler" || true

claim "what the run has stored is exported as the same files, bit for bit, and measured as the run did"
expect 0 "exported.txt: 3712 numbers from $tmp/bsp1, as word2vec" "$rubato" export "$tmp/bsp1" -o "$tmp/exported.txt"
cmp "$tmp/one.txt" "$tmp/exported.txt" || fail "the exported vectors differ from those that rank 0 wrote"
"$rubato" export "$tmp/bsp1" --format word2vec-bin -o - 2>"$tmp/said" >"$tmp/exported.bin" || fail "$(cat "$tmp/said")"
"$rubato" neighbours "$tmp/exported.bin" t3w4 >"$tmp/said" || fail "the binary file is not read: $(cat "$tmp/said")"
diff "$tmp/said" <("$rubato" neighbours "$tmp/one.txt" t3w4) || fail "text and binary differ"
expect 0 '"examples":[0-9]+,"metrics":\{"loss":[0-9.]+\}' "$rubato" eval "$tmp/bsp1" --json
awk -v a="$(value loss <"$tmp/said")" -v b="$(result "$tmp/bsp1" loss)" 'BEGIN { exit !(a > 0.98 * b && a < 1.02 * b) }' ||
    fail "loss $(value loss <"$tmp/said"), the run's two workers said $(result "$tmp/bsp1" loss)"

claim "a new job begins with the vectors of a file, word by word, though its text has other numbers for them"
sed 's/t1w1 /t1w1 t7w7 t7w7 /' "$text" >"$tmp/other-text"
start_run "$tmp/warm" "${options[@]}" --train-file "$tmp/other-text" --epochs 1 --init "$tmp/one.txt" --set lr=0 --vectors "$tmp/five.txt"
expect_end "$train" 0
diff <(cut -d' ' -f1 "$tmp/one.txt") <(cut -d' ' -f1 "$tmp/five.txt") >/dev/null && fail "the words have the same numbers"
diff <(sort "$tmp/one.txt") <(sort "$tmp/five.txt") || fail "a vector has changed"

"$rubato" export "$tmp/warm" -o "$tmp/six.tsv" >/dev/null
start_run "$tmp/warm-tsv" "${options[@]}" --epochs 1 --init "$tmp/six.tsv" --set lr=0 --vectors "$tmp/six.txt"
expect_end "$train" 0
diff <(sort "$tmp/one.txt") <(sort "$tmp/six.txt") || fail "a vector has changed on its way through lines"

claim "tests of words: words of a topic are more alike, and what a vocabulary lacks is counted and left out"
awk 'BEGIN { for (t = 0; t < 8; t++) for (i = 1; i < 6; i++) { printf "t%dw0,T%dw%d,9\nt%dw0\tt%dw%d\t1\n", t, t, i, t, (t + 1) % 8, i }
    print "t0w0 nobody 5" }' >"$tmp/pairs"
printf '# no section\nt0w1 t0w2 t1w1 nobody\n: one topic\nt1w1 t1w2 t1w3 t1w4\n' >"$tmp/analogies"
expect 0 'over 80 pairs, 1 left out' "$rubato" eval "$tmp/bsp1" --pairs "$tmp/pairs"
awk -v rho="$(sed -nE 's/^similarity +([-0-9.]+) .*/\1/p' "$tmp/said")" 'BEGIN { exit !(rho > 0.6) }' || fail "$(cat "$tmp/said")"
cp "$tmp/said" "$tmp/of-run"
expect 0 'similarity' "$rubato" eval "$tmp/one.txt" --pairs "$tmp/pairs"
diff "$tmp/said" "$tmp/of-run" || fail "a run and its file of vectors differ"
expect 0 '"questions":1,.*"left_out":1,"sections":\[\{"section":"one topic"' "$rubato" eval "$tmp/one.txt" --analogies "$tmp/analogies" --json
expect 4 "$tmp/analogies', line 2, column 11: found 't1w1', expected two words and a number" "$rubato" eval "$tmp/one.txt" --pairs "$tmp/analogies"

claim "neighbours of a word are of its topic, from the text and from the binary file"
for file in one.txt three.bin; do
    expect 0 '^t3w4$' "$rubato" neighbours "$tmp/$file" t3w4 --nearest 5
    (($(grep -c '^  t3w[0-9]* *0\.' "$tmp/said") >= 4)) || fail "neighbours: $(cat "$tmp/said")"
done
expect 0 '^\{"word":"t1w1","neighbours":\[\{"word":"t1w[0-9]+","cosine":0\.[0-9]+\}\]\}$' \
    "$rubato" neighbours "$tmp/one.txt" t1w1 --nearest 1 --json
expect 2 "'t9w9' is none of the 116 words of $tmp/one.txt" "$rubato" neighbours "$tmp/one.txt" t9w9
expect 2 'a file of vectors or a run, and at least one word, entity or item of it, are expected' "$rubato" neighbours "$tmp/one.txt"
expect 4 "$text', line 1, column [0-9]+: expected how many words there are" "$rubato" neighbours "$text" all1
expect_nobody
