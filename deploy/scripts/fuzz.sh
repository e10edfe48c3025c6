#!/usr/bin/env bash
# Feeds whatever takes bytes from peers with libFuzzer under AddressSanitizer: SECONDS_EACH (60) a target, one after
# another, beginning with the committed corpus. Arguments name targets; all of them unless given. Exits with 1 at the
# first input that crashes, breaks an invariant, takes 10 s or 2 GiB, and says where it is: it belongs into the corpus,
# where `make test` feeds it from then on.
#
# GROW=1 adds to the corpus what was found to reach new code.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
export BUDDY_PART=fuzz
swift build --product fuzz --sanitize=address --scratch-path .build-fuzz
fuzz=$(swift build --show-bin-path --scratch-path .build-fuzz)/fuzz
each=${SECONDS_EACH:-60}
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(wire json session framing gzip metadata)

found=.build-fuzz/found
for target in "${targets[@]}"; do
  mkdir -p "$found/$target" "$found/crashes"
  corpus=Tests/Fuzz/corpus/$target
  log=$found/$target.log
  export FUZZ_TARGET=$target
  if ! "$fuzz" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/crashes/$target-" \
    -print_final_stats=1 "$found/$target" "$corpus" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "$target: an input breaks it; it is in $found/crashes" >&2
    exit 1
  fi
  printf '%-9s %s inputs, %s new, no crash\n' "$target" \
    "$(sed -nE 's/^stat::number_of_executed_units: +//p' "$log")" "$(sed -nE 's/^stat::new_units_added: +//p' "$log")"
  # Only what reaches an edge of the code that nothing else does: the corpus is read by people too.
  if [[ ${GROW:-} == 1 ]]; then
    "$fuzz" -set_cover_merge=1 -use_counters=0 -max_len=1000 "$corpus" "$found/$target" >>"$log" 2>&1
    echo "          corpus: $(find "$corpus" -type f | wc -l) inputs"
  fi
done
