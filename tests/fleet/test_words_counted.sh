#!/usr/bin/env bash
# Workers count the words of a text together, each a share of it, and come to the vocabulary that one worker makes of it.
source "$(dirname "$0")/fleet.sh"

run_file=$source_dir/examples/words.yaml
text=$tmp/text
awk 'BEGIN {
    srand(3)
    for (s = 0; s < 20000; s++) {
        for (i = 0; i < 12; i++) { printf "w%d ", int(rand() * rand() * 9000) }
        if (rand() < 0.9) { print "" }
    }
}' >"$text"
bytes=$(stat -c %s "$text")
((bytes > 1 << 20)) || fail "the text has $bytes bytes: each worker would read it whole"
options=(--set "train_file=$text" --set dim=4 --set window=2 --set batch=20000 --set epochs=1 --set sample=0.01 --ps 2)

claim "one worker reads all of the text"
start_run "$tmp/one" "${options[@]}" --workers 1
expect_end "$train" 0
grep -rq 'counted .* with others' "$tmp/one" && fail "a worker that is alone counted with others"

claim "two read a share each, and their vocabulary and number of examples are the same, byte for byte"
start_run "$tmp/two" "${options[@]}" --workers 2 --staleness 4 --vectors "$tmp/two.txt"
expect_end "$train" 0
cmp "$tmp/one/vocabulary.txt" "$tmp/two/vocabulary.txt" || fail "the vocabularies differ"
grep -rhoE "counted [0-9]+ of the text's $bytes bytes" "$tmp/two" | awk '{ print $2 }' >"$tmp/shares"
(($(lines_of "$tmp/shares") == 2)) || fail "not two have counted: $(cat "$tmp/shares")"
total=$(paste -sd+ "$tmp/shares")
((total >= bytes)) || fail "shares of $total bytes are less than the text's $bytes"
((total < 2 * bytes)) || fail "each has read the whole text: $total of $bytes bytes"
for key in examples; do
    [[ $(result "$tmp/one" $key) == "$(result "$tmp/two" $key)" ]] || fail "$key: $(result "$tmp/one" $key), $(result "$tmp/two" $key)"
done

claim "what they told each other is no part of the model"
expect 0 'as word2vec' "$rubato" export "$tmp/two" -o "$tmp/again.txt"
cmp "$tmp/two.txt" "$tmp/again.txt" || fail "the exported vectors differ from those that rank 0 wrote"
expect 0 '' "$rubato" export "$tmp/two" -o "$tmp/two.safetensors"
grep -aq words/in "$tmp/two.safetensors" || fail "there are no words in $tmp/two.safetensors"
grep -aq words/counts "$tmp/two.safetensors" && fail "counts are exported as weights"

claim "text that is no text is said with its line, though nobody has read it whole"
head -c 1200000 "$text" >"$tmp/bad"
printf '\nworse \377\n' >>"$tmp/bad"
line=$(grep -c '' "$tmp/bad")
expect 4 "line $line, column 7: byte 0xff of a word is not UTF-8" "$rubato" train "$run_file" "${options[@]}" --train-file "$tmp/bad" --workers 2 \
    --run-dir "$tmp/no"
