#!/usr/bin/env bash
# Factorizations of ratings by a fleet: what is wrong with ratings is refused before anything starts; planted tastes are found by
# several workers; what was trained is measured, predicted with and exported without its fleet.
source "$(dirname "$0")/fleet.sh"

# Two tastes: of even items even users think 4 to 5, odd ones 1 to 2; of odd items the other way round.
awk -v all="$tmp/all" -v liked="$tmp/liked" 'BEGIN {
    srand(5)
    for (u = 0; u < 120; u++) for (i = 0; i < 60; i++) if (rand() < 0.5) {
        likes = u % 2 == i % 2
        printf "user %d::i%d::%.2f::978300760\n", u, i, (likes ? 4 : 1) + rand() > all
        if (likes) print "user " u "\ti" i > liked
    }
}'
run_file=$source_dir/examples/ratings.yaml
options=(--train-file "$tmp/all" --set test_file= --held-out 0.2 --dim 4 --batch 500 --epochs 15)
chosen=(--train-file "$tmp/liked" --test-file "$tmp/liked" --held-out 0.2 --dim 4 --negatives 8 --chunk 32 --batch 250 --epochs 15)
holds() { awk -v a="$1" -v b="$3" "BEGIN { exit !(a $2 b) }" || fail "$1 is not $2 $3: $4"; }

claim "what can not be learnt from is refused before anything starts"
printf 'a\tb\t1\na\tb\n' >"$tmp/bad"
expect 4 "$tmp/bad', line 2, column 4: found the line's end, expected a tab and the rating" \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --train-file "$tmp/bad"
expect 2 'optimizer: adam, mf steps on the worker .* expected add' \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --optimizer adam
expect 2 'data_memory: model_kind mf has all of its data in memory' \
    "$rubato" train "$run_file" "${options[@]}" --run-dir "$tmp/no" --data-memory 1M

claim "two workers and two ps find the tastes: what was held out is met but for the noise"
start_run "$tmp/mf" "${options[@]}" --workers 2 --ps 2 --staleness 1 --vectors "$tmp/items.txt"
expect_end "$train" 0
expect_value "$tmp/mf" status ok
holds "$(result "$tmp/mf" rmse)" '<' 0.45 rmse # 0.29 is noise; mean and biases know nothing: 1.53
says "$tmp/mf.out" '^test rmse  *0\.' || fail "no rmse in $(cat "$tmp/mf.out")"
expect 0 '^i7$' "$rubato" neighbours "$tmp/items.txt" i7 --nearest 3
diff "$tmp/said" <("$rubato" neighbours "$tmp/mf" i7 --nearest 3) || fail "the run has other neighbours"
(($(grep -c '^  i[0-9]*[13579] ' "$tmp/said") == 3)) || fail "neighbours of an odd item: $(cat "$tmp/said")"
expect 2 "'u7' is none of the [0-9]* items of" "$rubato" neighbours "$tmp/mf" u7
expect 2 "vocabulary: '$tmp/mf/items.txt' is of words, model_kind mf has none" "$rubato" neighbours "$tmp/mf" i7 --vocabulary "$tmp/mf/items.txt"

claim "without the fleet it is measured as the run did, and says what users will think, also such as it does not know"
expect 0 '"metrics"' "$rubato" eval "$tmp/mf" --json
for name in rmse mae; do
    holds "($(value $name <"$tmp/said") - $(result "$tmp/mf" $name)) ^ 2" '<' 1e-12 "$name"
done
printf 'user 2::i4\nuser 2::i5::9\nnobody::i5\nnobody::nothing\n' >"$tmp/asked"
expect 0 '4 predictions' "$rubato" predict "$tmp/mf" --data "$tmp/asked" -o "$tmp/answers"
awk 'NR == 1 { good = $1 > 3.8 } NR == 2 { good = good && $1 < 2.2 } NR > 2 { good = good && $1 > 2 && $1 < 4 }
    END { exit !(good && NR == 4) }' "$tmp/answers" || fail "predicted $(cat "$tmp/answers")"
printf 'user 2::i4\nuser 2\n' >"$tmp/asked"
expect 4 "asked', line 2, column 7: found the line's end, expected '::' and the item" \
    "$rubato" predict "$tmp/mf" --data "$tmp/asked"
expect 0 '240 numbers' "$rubato" export "$tmp/mf" --table mf/items -o "$tmp/exported.txt"
cmp "$tmp/items.txt" "$tmp/exported.txt" || fail "the exported vectors differ from those that the run left"
expect 0 '^user 2$' "$rubato" recommend "$tmp/mf" 'user 2' 'user 3' --top 3
(($(grep -c '^  i[0-9]*[02468] ' "$tmp/said") == 3 && $(grep -c '^  i[0-9]*[13579] ' "$tmp/said") == 3)) ||
    fail "recommended $(cat "$tmp/said")"
expect 2 "'user 999' is none of the 120 users" "$rubato" recommend "$tmp/mf" 'user 999'
(($(grep -c "^[0-9]*$(printf '\t')user [0-9]*$" "$tmp/mf/users.txt") == 120)) || fail "users.txt has not 120 users"

claim "a new job begins with the vectors of a run, name by name, though its ratings have other numbers for them"
awk -F:: -v OFS='\t' '{ print $1, $2, $3; if ($2 == "i9") print "user x" NR, $2, $3 }' "$tmp/all" >"$tmp/more"
start_run "$tmp/warm" --train-file "$tmp/more" --set test_file= --dim 4 --batch 500 --epochs 1 --set lr=0 --workers 1 \
    --init "$tmp/mf" --vectors "$tmp/same.txt"
expect_end "$train" 0
[[ $(sed -n 2p "$tmp/same.txt") == "i9 "* ]] || fail "i9 is not the first item"
diff <(sort "$tmp/items.txt") <(sort "$tmp/same.txt") || fail "a vector has changed"

claim "or with the vectors of items alone, from a file of them"
start_run "$tmp/from-file" --train-file "$tmp/more" --set test_file= --dim 4 --batch 500 --epochs 1 --set lr=0 --workers 1 \
    --init "$tmp/items.txt" --vectors "$tmp/same.txt"
expect_end "$train" 0
diff <(sort "$tmp/items.txt") <(sort "$tmp/same.txt") || fail "a vector has changed"
says "$tmp/from-file.out" '^table mf/users begins anew$' || fail "$(cat "$tmp/from-file.out")"
expect 2 "table 'mf/items' has rows 4 wide, expected rows 5 wide" "$rubato" train "$run_file" "${options[@]}" --dim 5 --run-dir "$tmp/no" --init "$tmp/items.txt"
sed '2,$s/^/other/' "$tmp/items.txt" >"$tmp/others.txt"
expect 2 "'$tmp/others.txt': none of its [0-9]+ rows has a name that the data to train on have" "$rubato" train "$run_file" "${options[@]}" \
    --dim 4 --run-dir "$tmp/no" --init "$tmp/others.txt"
says "$tmp/from-file.out" "^try next .* --set init=$tmp/items.txt " || fail "try next begins with other weights: $(cat "$tmp/from-file.out")"
expect 2 "vocabulary: '$tmp/items.txt' is of words, users.txt and items.txt" "$rubato" train "$run_file" "${options[@]}" \
    --run-dir "$tmp/no" --init "$tmp/mf" --vocabulary "$tmp/items.txt"

claim "from choices alone: items that were held out rank high, and in the test data just these are not known"
start_run "$tmp/bpr" "${chosen[@]}" --model-kind mf_bpr --workers 2 --staleness bsp --set reduce=sum --set validation_keep=best
expect_end "$train" 0
holds "$(result "$tmp/bpr" auc)" '>' 0.7 auc
says "$tmp/bpr.out" "^try next .*--set model_kind=mf_bpr .* --staleness 4  *nobody waits" && # where reduce says nothing
    ! says "$tmp/bpr.out" " --set reduce=sum .* --staleness 4 " && says "$tmp/bpr.out" " --set reduce=sum .*  another fleet" ||
    fail "try next: $(cat "$tmp/bpr.out")"
expect 0 '^users  *[0-9]*, with the weights of' "$rubato" eval "$tmp/bpr"
sed 's/i7$/seventh/' "$tmp/liked" >"$tmp/edited" # a job goes on with the users and items that its rows are of, or not at all
snapshots=("$tmp/bpr/snapshots"/*)
expect 4 "train_file '$tmp/edited': its item number [0-9]+ is '[^']*', expected '[^']*', which the job's rows are of \\('$tmp/resumed/items.txt'" \
    "$rubato" train "$run_file" "${chosen[@]}" --model-kind mf_bpr --workers 2 --staleness bsp --set reduce=sum --train-file "$tmp/edited" \
    --epochs 99 --run-dir "$tmp/resumed" --resume "${snapshots[-1]}"
mkdir -p "$tmp/elsewhere/kept" && cp -r "${snapshots[-1]}" "$tmp/elsewhere/kept/1" && echo alice >"$tmp/elsewhere/users.txt"
for place in "${snapshots[-1]}" "$tmp/elsewhere/kept/1"; do # beside a snapshot that lies elsewhere are anybody's files
    expect 0 'restored to' "$rubato" snapshot restore "$place" --to "$tmp/restored"
    [[ $place == "$tmp/elsewhere"* ]] || cmp "$tmp/bpr/users.txt" "$tmp/restored/users.txt" || fail "a restored run has other names"
    [[ $place == "$tmp/bpr"* || ! -e $tmp/restored/users.txt ]] || fail "users are anybody's: $(cat "$tmp/restored/users.txt")"
    rm -r "$tmp/restored"
done
expect 0 '"users":[0-9]*,' "$rubato" eval "$tmp/bpr" --json --top 5
for auc in "$(value auc <"$tmp/said")" "$(result "$tmp/bpr" test_auc)"; do
    holds "($auc - $(result "$tmp/bpr" auc)) ^ 2" '<' 1e-12 auc
done
expect_nobody
