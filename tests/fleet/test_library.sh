#!/usr/bin/env bash
# librubato is what its header says and no more: it exports the functions of include/rubato.h and nothing else, and
# brings none of the programs' libraries along.
source "$(dirname "$0")/fleet.sh"

library=$(find "$build" -maxdepth 2 -name 'librubato.so*' -type f | sed -n 1p)
[[ -n $library ]] || fail "no librubato.so in $build"

claim "every exported symbol is declared in include/rubato.h, and the other way round"
declared=$(grep -oE '\brub_[a-z0-9_]+\(' "$source_dir/include/rubato.h" | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | grep -Ev '^__(asan|ubsan|tsan|(start|stop)___sancov)' | sort -u)
diff <(echo "$declared") <(echo "$exported") >&2 || fail "the header (<) and $library (>) differ"

claim "it needs libzmq and msgpack, and neither CZMQ, LMDB nor BLAS"
needed=$(readelf -d "$library" | sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p')
grep -q '^libzmq' <<<"$needed" || fail "libzmq is not among: $needed"
! grep -E 'czmq|lmdb|blas|yaml|jansson|libz\.' <<<"$needed" >&2 || fail "it needs too much: $needed"

claim "librubato-inproc: the same for include/rubato_inproc.h, and it may need LMDB"
inproc=$(find "$build" -maxdepth 2 -name 'librubato-inproc.so*' -type f | sed -n 1p)
[[ -n $inproc ]] || fail "no librubato-inproc.so in $build"
declared=$(grep -oE '\brub_inproc_[a-z0-9_]+\(' "$source_dir/include/rubato_inproc.h" | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$inproc" | awk '{print $3}' | sed 's/@.*//' | { grep -E '^rub_inproc_' || true; } | sort -u)
diff <(echo "$declared") <(echo "$exported") >&2 || fail "the header (<) and $inproc (>) differ"
needed=$(readelf -d "$inproc" | sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p')
grep -q '^liblmdb' <<<"$needed" || fail "liblmdb is not among: $needed"
! grep -E 'czmq|blas|yaml|jansson|libz\.' <<<"$needed" >&2 || fail "it needs too much: $needed"

claim "a program needs the header and -lrubato alone"
cat >"$tmp/open.c" <<'END'
#include <rubato.h>

int main(void)
{
    rub_options_t options;
    rub_options_defaults(&options);
    return rub_version()[0] == 0;
}
END
if grep -q '^RUBATO_SANITIZE:STRING=.' "$build/CMakeCache.txt"; then
    echo "  (not linked: a sanitized library wants a sanitized program)"
else
    cc -std=c11 -Wall -Wextra -Werror -I"$source_dir/include" "$tmp/open.c" -L"$(dirname "$library")" -lrubato -o "$tmp/open"
    LD_LIBRARY_PATH=$(dirname "$library") "$tmp/open" || fail "the program does not run"
fi
