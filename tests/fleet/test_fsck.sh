#!/usr/bin/env bash
# rubato fsck says whether what is on disk is whole: in use, after kill -9, after a run, and damaged in all ways.
source "$(dirname "$0")/fleet.sh"

# flip FILE OFFSET: turns the byte there into another one.
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
    printf "\\x$(printf %02x $((byte ^ 0x10)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

claim "a store in use is not looked at, and its holder is named"
run=$tmp/run
start_run "$run" --ps 2 --staleness 4 --epochs 50 --checkpoint-interval 1h
wait_trained "$run" 1000
expect 77 "ps-0/shard-0.*" "$rubato" fsck "$run"
grep -Eq "is held by [^ ]+:$(member "$run" ps "--first-shard 0")" "$tmp/said" || fail "the holder is not named: $(cat "$tmp/said")"

claim "what kill -9 of all leaves is whole"
everybody=$(processes)
kill -9 $everybody # one pid per word
for pid in $everybody; do
    wait_until 10 has_ended "$pid" || fail "process $pid does not die" # a lock goes after the memory does
done
wait "$train" 2>/dev/null || true
expect_nobody
expect 0 'recovery: .* and [1-9][0-9]* records make' "$rubato" fsck "$run"
expect 0 '^\{.*"clean":true.*\}$' "$rubato" fsck "$run" --json
is_json <"$tmp/said" || fail "no JSON: $(cat "$tmp/said")"
before=$(cd "$run" && find . -type f -name '*.seg' -o -name '*.mdb' -type f | sort | xargs md5sum)
expect 0 'clean' "$rubato" fsck "$run/ps-0"
expect 0 'clean' "$rubato" fsck "$run/ps-1/shard-1"
[[ $before == "$(cd "$run" && find . -type f -name '*.seg' -o -name '*.mdb' -type f | sort | xargs md5sum)" ]] || fail "fsck has changed a file"

# find_record INCARNATION NUMBER: the segment of ps 0 that holds this record, and where in it its lsn lies (a segment's
# header, 72 bytes, names the last record before it). Perl, for grep finds no line that has a newline in it.
find_record() {
    at=
    for segment in $(find "$run/ps-0/shard-0/journal" -name '*.seg' | sort); do
        at=$(perl -0777 -e 'open my $in, "<:raw", $ARGV[0] or die $!; my $at = index <$in>, pack("Q<", ($ARGV[1] << 40) + $ARGV[2]), 72;
            print $at if $at >= 0' "$segment" "$1" "$2")
        [[ -z $at ]] || return 0
    done
    fail "no record $1:$2 in $run/ps-0/shard-0/journal"
}

claim "a flipped bit in the journal is named with segment and offset, and the ps refuses it, too"
# The first record that a recovery must read: a whole segment in front of the redo point is not read by it.
expect 0 'behind the redo point [0-9]+:[0-9]+' "$rubato" fsck "$run/ps-0"
read -r incarnation number < <(sed -nE 's/.* behind the redo point ([0-9]+):([0-9]+).*/\1 \2/p' "$tmp/said")
find_record "$incarnation" $((number + 1))
cp "$segment" "$tmp/segment"
flip "$segment" $((at + 16))
expect 74 "WRONG: journal segment .*${segment##*/} is damaged at offset [0-9]+: good records follow" "$rubato" fsck "$run/ps-0"
says "$tmp/said" 'normal after a kill' && fail "damage is called normal, too: $(cat "$tmp/said")"
expect 74 'is damaged at offset [0-9]+' "$rubato" ps --store-dir "$run/ps-0" --ps 2 --scheduler "tcp://127.0.0.1:$(free_port)" --join-timeout 5s
expect 74 '"clean":false,"exit_code":74' "$rubato" fsck "$run" --json
cp "$tmp/segment" "$segment"
expect 0 'clean' "$rubato" fsck "$run/ps-0"

claim "a torn tail is normal and said"
# The last record, found by its lsn; what lies behind it in a recycled segment is of an earlier time.
expect 0 'behind [0-9]+:[0-9]+ up to [0-9]+:[0-9]+' "$rubato" fsck "$run/ps-0"
read -r incarnation number < <(sed -nE 's/.* up to ([0-9]+):([0-9]+).*/\1 \2/p' "$tmp/said")
find_record "$incarnation" "$number"
cp "$segment" "$tmp/segment"
# The kill may have come right behind a sync: then the journal's note says that this record was whole on the platter, and
# a tear in it is damage. Torn is what was not synced yet.
tail=$run/ps-0/shard-0/journal/tail
[[ ! -e $tail ]] || mv "$tail" "$tmp/tail"
flip "$segment" $((at + 16)) # its first byte behind the frame's head: it still looks like a record of now
expect 0 'unfinished write behind .*: normal after a kill' "$rubato" fsck "$run/ps-0"
cp "$tmp/segment" "$segment"
[[ ! -e $tmp/tail ]] || mv "$tmp/tail" "$tail"

claim "a journal that is gone, a foreign file, and a damaged LMDB file are named"
mv "$run/ps-1/shard-1/journal" "$tmp/journal"
mkdir "$run/ps-1/shard-1/journal"
expect 74 'the journal of .*shard-1 is gone' "$rubato" fsck "$run/ps-1"
rmdir "$run/ps-1/shard-1/journal"
mv "$tmp/journal" "$run/ps-1/shard-1/journal"
cp "$run/scheduler/data.mdb" "$tmp/data.mdb"
flip "$run/scheduler/data.mdb" $((16 + 8))
truncate -s 9000 "$run/scheduler/data.mdb"
expect 74 'scheduler/data.mdb' "$rubato" fsck "$run/scheduler"
echo "something else that is long enough to look at as if it were a store of ours" >"$run/scheduler/data.mdb"
expect 74 'data.mdb: 77 bytes are no store|no store|not a store' "$rubato" fsck "$run/scheduler"
cp "$tmp/data.mdb" "$run/scheduler/data.mdb"
expect 0 'scheduler of job .*, 2 workers, 2 shards' "$rubato" fsck "$run/scheduler"

claim "a folder without a store, and no folder at all, are usage errors"
mkdir "$tmp/empty"
expect 2 'there is no store in' "$rubato" fsck "$tmp/empty"
expect 2 'which does not exist' "$rubato" fsck "$tmp/nowhere"
if ((EUID == 0)) && command -v setpriv >/dev/null && chmod 711 "$tmp" &&
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups) && "${as_nobody[@]}" "$rubato" version >/dev/null 2>&1; then
    mkdir -p "$tmp/shut/ps-0" && chmod 755 "$tmp/shut" && chmod 700 "$tmp/shut/ps-0"
    expect 1 "1 of the folders can not be read, the first is '$tmp/shut/ps-0': Permission denied" "${as_nobody[@]}" "$rubato" fsck "$tmp/shut"
fi
expect 2 'expected one' "$rubato" fsck
expect 0 'Exit codes: 0 all is whole, 74' "$rubato" fsck --help
