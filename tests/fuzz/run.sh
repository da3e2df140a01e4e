#!/bin/sh
# Runs every fuzzer in DIRECTORY for SECONDS, two at a time; what they found is told at the end. Usage: run.sh SECONDS DIRECTORY
seconds=$1 directory=$2
for f in "$directory"/*_fuzz; do
    echo "$f"
done | xargs -P 2 -I{} sh -c 'mkdir -p {}.corpus; {} -max_total_time='"$seconds"' -timeout=10 -print_final_stats=1 -artifact_prefix={}. {}.corpus > {}.log 2>&1 || echo {} >> '"$directory"'/failed'
n=0
for f in "$directory"/*_fuzz; do
    n=$((n + 1))
    echo "$(basename "$f"): $(grep -o 'number_of_executed_units: .*' "$f.log" | tail -1)"
done
if [ -s "$directory/failed" ]; then
    while read -r f; do tail -40 "$f.log"; done < "$directory/failed"
    rm -f "$directory/failed"
    exit 1
fi
echo "fuzzing: $n fuzzers found nothing"
