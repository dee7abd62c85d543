#!/bin/bash
# usage: test_profiles.sh BUILD_DIR
# Every profile holds, one seed is one history, and seeds that once broke a law keep it.
set -eu
sim=$1/rubato-sim
for profile in quiet network power pause chaos; do
    "$sim" --profile "$profile" --seeds 1..400 --jobs 2 --json
done
"$sim" --seeds 1..300 --jobs 2 --twice --json
grep -v '^#' "$(dirname "$0")/failed_seeds" | while read -r seed what; do
    "$sim" --seed "$seed" --json >/dev/null || { echo "once more: $what" && exit 1; }
done
quiet=$("$sim" --profile quiet --seeds 1..100 --json)
for never in cuts shard_kills power_losses pauses evictions fenced_told; do
    case $quiet in
    *"\"$never\":0"*) ;;
    *) echo "profile quiet is not quiet: $never in $quiet" && exit 1 ;;
    esac
done
echo "all profiles hold"
