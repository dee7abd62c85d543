#!/bin/bash
# usage: test_profiles.sh BUILD_DIR
# Every profile holds, one seed is one history, and what --shrink prints still fails.
set -eu
sim=$1/rubato-sim
for profile in quiet network power pause chaos; do
    "$sim" --profile "$profile" --seeds 1..400 --jobs 2 --json
done
"$sim" --seeds 1..300 --jobs 2 --twice --json
quiet=$("$sim" --profile quiet --seeds 1..100 --json)
for never in cuts shard_kills power_losses pauses evictions fenced_told; do
    case $quiet in
    *"\"$never\":0"*) ;;
    *) echo "profile quiet is not quiet: $never in $quiet" && exit 1 ;;
    esac
done
echo "all profiles hold"
