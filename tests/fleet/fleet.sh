# What the fleet tests share; sourced by each test_*.sh, which ctest starts in the source folder with the build folder as
# its argument. A test ends 0 when all it expects came true. Whatever happens, it leaves no process and no file behind:
# every process inherits FLEET_TEST, and who carries it and is one of our programs was started by this test.
set -euo pipefail

build=$(cd "${1:?usage: $0 BUILD_DIR}" && pwd)
source_dir=$PWD
rubato=$build/rubato
run_file=$source_dir/examples/fashion-mnist.yaml
data=/usr/share/datasets/fashion-mnist
patience_s=120 # how long anything may take; a sanitized build on a busy machine is slow
tmp=$(mktemp -d "${TMPDIR:-/tmp}/rubato-fleet-XXXXXX")
export FLEET_TEST=$tmp
started_s=$SECONDS
exec {never}<> <(:) # nothing is ever read from it

# The pids of this test's own processes, optionally only those whose command line contains $1.
processes() {
    local folder words program
    for folder in $(grep -slzxF "FLEET_TEST=$tmp" /proc/[0-9]*/environ); do # one look at all
        folder=${folder%/environ}
        program=$(readlink "$folder/exe" 2>/dev/null) && [[ $program == "$build"/* ]] || continue
        { mapfile -d '' -t words <"$folder/cmdline"; } 2>/dev/null || continue
        [[ " ${words[*]} " == *"${1:-}"* ]] || continue
        echo "${folder#/proc/}"
    done
}

finish() {
    local code=$? left
    left=$(processes)
    [[ -z $left ]] || kill -9 $left 2>/dev/null || true # one pid per word
    wait 2>/dev/null || true
    rm -rf "$tmp"
    ((code != 0)) || echo "$(basename "$0"): all as claimed, $((SECONDS - started_s)) s"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

claim() { printf -- '- %s (after %d s)\n' "$*" $((SECONDS - started_s)); }

fail() {
    printf 'FAILED %s\n' "$*" >&2
    exit 1
}

nap() { read -rt 0.05 -u "$never" || true; } # sleeps without a process of its own

# wait_until SECONDS COMMAND...: false when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        nap
    done
}

nobody_is_left() { [[ -z $(processes) ]]; }
has_ended() { # no such process, or a zombie
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ ${line##*) } == Z* ]]
}

expect_nobody() {
    wait_until "${1:-10}" nobody_is_left && return
    ps -o pid,args -p "$(processes | paste -sd,)" >&2 || true
    fail "processes are left behind"
}

# expect CODE PATTERN COMMAND...: the command ends with CODE, and what it says (both streams) matches the extended
# regular expression. What it said is in $tmp/said.
expect() {
    local wanted=$1 pattern=$2 code=0
    shift 2
    timeout --foreground -k 5 "$patience_s" "$@" >"$tmp/said" 2>&1 || code=$?
    ((code == wanted)) || fail "exit code $code, expected $wanted: $* $(printf '\n'; tail -n 20 "$tmp/said")"
    grep -Eq -- "$pattern" "$tmp/said" || fail "no /$pattern/ in what this said: $* $(printf '\n'; tail -n 20 "$tmp/said")"
}

# expect_end PID CODE: a process in the background ends with CODE in time.
expect_end() {
    local code=0
    wait_until "${3:-$patience_s}" has_ended "$1" || fail "process $1 did not end within ${3:-$patience_s} s"
    wait "$1" || code=$?
    ((code == $2)) || fail "process $1: exit code $code, expected $2"
}

says() { grep -Eq -- "$2" "$1" 2>/dev/null; } # says FILE PATTERN

# expect_named FILE FROM PATTERN: a line of FILE behind its line FROM names whom it waits for, within 5 s (one more is left
# for a busy machine). What counts is how long it has waited by its own words: this shell may come late to look.
expect_named() {
    local after
    named_behind() { tail -n "+$(($2 + 1))" "$1" 2>/dev/null | grep -E -- "$3" | sed -n 1p | grep .; }
    wait_until 30 named_behind "$@" >"$tmp/named" || fail "$1 does not say /$3/: $(tail -n 5 "$1")"
    after=$(grep -Eo '(for|waited) [0-9.]+ s' "$tmp/named" | sed -nE '1s/.* ([0-9.]+) s/\1/p' || true)
    awk -v after="${after:-0}" 'BEGIN { exit !(after <= 6) }' || fail "named after $after s: $(cat "$tmp/named")"
}
lines_of() { wc -l <"$1"; } # a FROM for what follows

# value KEY <JSON: the first value of that key, without quotes; ours is flat enough for this.
value() { grep -Eo "\"$1\": ?(\"[^\"]*\"|[^],}]*)" | sed -n 1p | sed -E 's/^"[^"]*": ?//; s/^"(.*)"$/\1/'; }
result() { value "$2" <"$1/result.json"; } # result RUN_DIR KEY
total() { grep -Eo "\"$1\":[0-9]+" | cut -d: -f2 | paste -sd+ | sed 's/^$/0/' | { read -r sum; echo $((sum)); }; }

expect_value() { # expect_value RUN_DIR KEY VALUE
    local is
    is=$(result "$1" "$2")
    [[ $is == "$3" ]] || fail "$2 is '$is', expected '$3' in $(printf '\n'; cat "$1/result.json")"
}

is_json() {
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys; json.loads(sys.stdin.read())'
    else # good enough where nobody can parse it: an object in one line
        grep -Eq '^\{.*\}$'
    fi
}

# A port that nobody listens on, from below the range that the kernel gives away by itself.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

# ---- runs of rubato train ----

# start_run RUN_DIR ARGUMENTS...: in the background; sets train to its pid.
start_run() {
    local run=$1
    shift
    "$rubato" train "$run_file" --run-dir "$run" "$@" >"$run.out" 2>"$run.err" &
    train=$!
}

address_of() { sed -nE 's/^ *scheduler: *"?(tcp:[^" ]*).*/\1/p' "$1/config.yaml" 2>/dev/null || true; }

# status RUN_DIR: its job's status as JSON, or nothing.
status() {
    local address
    address=$(address_of "$1")
    [[ -n $address ]] && "$rubato" status --scheduler "$address" --json 2>/dev/null || true
}

# member RUN_DIR ROLE [FLAGS]: the pid of a member of the run, "member RUN ps --first-shard 1".
member() { processes " $2 --config $1/config.yaml ${3:-}" | sed -n 1p; }

has_trained() { # has_trained RUN_DIR PUSHES: so many pushes are reported, and the training goes on
    local now
    now=$(status "$1")
    [[ $(value state <<<"$now") == running ]] && (($(total pushes <<<"$now") >= $2))
}

wait_trained() {
    wait_until "$patience_s" has_trained "$1" "$2" || fail "no $2 pushes in mid-run: $(status "$1") $(cat "$1.err" "$1.out")"
}

# kill_member RUN_DIR ROLE [FLAGS]
kill_member() {
    local pid
    pid=$(member "$1" "$2" "${3:-}")
    [[ -n $pid ]] || fail "no process of $2 ${3:-} in $1"
    kill -9 "$pid"
}

# line_of FILE PATTERN: the number of its first line with the pattern; 0: none.
line_of() { { grep -nE -- "$2" "$1" || true; } | sed -n 1p | cut -d: -f1 | sed 's/^$/0/' | grep . || echo 0; }

# expect_before FILE FIRST SECOND: both are in the file, in this order.
expect_before() {
    local first second
    first=$(line_of "$1" "$2")
    second=$(line_of "$1" "$3")
    ((first > 0)) || fail "no /$2/ in $1: $(cat "$1")"
    ((second > first)) || fail "/$2/ does not stand before /$3/ in $1: $(cat "$1")"
}

# torture DURABILITY KILLS ARGUMENTS...: scripts/torture finds nothing wrong; what it says is in $tmp/said.
torture() {
    local durability=$1 kills=$2
    shift 2
    expect 0 "^\{\"kills\":$kills,\"lost\":0,\"doubled\":0,\"stale\":0,\"stuck\":0,\"crashed\":0," \
        env TMPDIR="$tmp" "$source_dir/scripts/torture" --build "$build" --kills "$kills" --durability "$durability" --figures "$@"
    cat "$tmp/said"
    (($(value pushes <"$tmp/said") > 20 * kills)) || fail "the fleet hardly worked between the kills: $(cat "$tmp/said")"
}
