#!/usr/bin/env bash
# Feeds whatever takes bytes from peers with libFuzzer under AddressSanitizer: SECONDS_EACH (60) a target, one after
# another, beginning with the committed corpus. Arguments name targets; all of them unless given. Exits with 1 at the
# first input that crashes, leaks, breaks an invariant, takes 10 s or 2 GiB, and says where it is: it belongs into the
# corpus, where `make test` feeds it from then on. Prints, of each target, how many inputs were loaded and run, and how
# many edges of the code and features (edges, how often each) they reach.
#
# GROW=1 adds to the corpus what was found to reach new code.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
export BUDDY_PART=fuzz
swift build --product fuzz --sanitize=address --scratch-path .build-fuzz
bin=$(swift build --show-bin-path --scratch-path .build-fuzz)
fuzz=$bin/fuzz
# One flag of the compiler takes the place of another, without a word.
for mark in __asan_report __sancov; do
  grep -rqF "$mark" "$bin/RPC.build" || { echo "the runtime was built without $mark" >&2; exit 1; }
done
each=${SECONDS_EACH:-60}
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(wire json session framing gzip metadata)

found=.build-fuzz/found
# A number of libFuzzer's log, or 0.
figure() { local value; value=$(sed -nE "s/$1/\1/p" "$log" | tail -n 1); echo "${value:-0}"; }
fail() {
  tail -n 100 "$log"
  echo "$target: $1" >&2
  exit 1
}

for target in "${targets[@]}"; do
  mkdir -p "$found/$target" "$found/crashes"
  corpus=Tests/Fuzz/corpus/$target
  log=$found/$target.log
  export FUZZ_TARGET=$target
  # The same input takes the same way each time, also through dictionaries.
  export SWIFT_DETERMINISTIC_HASHING=1
  # Crashes are reported by libFuzzer and AddressSanitizer: the handler of Swift reads memory as neither allows.
  export SWIFT_BACKTRACE=enable=no
  # libFuzzer minds the time between inputs, and stops an input itself after 10 s; what does neither is killed.
  timeout --kill-after=5 $((each + 120)) "$fuzz" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$found/crashes/$target-" -print_final_stats=1 "$found/$target" "$corpus" >"$log" 2>&1 ||
    fail "an input breaks it: $(figure '.*Test unit written to (.*)')"
  loaded=$(figure "INFO: +([0-9]+) files found in ${corpus//\//\\/}")
  [[ $loaded -gt 0 && $loaded -eq $(find "$corpus" -type f | wc -l) ]] || fail "its corpus was not loaded"
  printf '%-9s %4s inputs of the corpus, %8s run, %5s new; %5s edges, %5s features; nothing broke\n' "$target" \
    "$loaded" "$(figure 'stat::number_of_executed_units: +([0-9]+)')" "$(figure 'stat::new_units_added: +([0-9]+)')" \
    "$(figure '.* cov: ([0-9]+) .*')" "$(figure '.* ft: ([0-9]+) .*')"
  # Only what reaches an edge of the code that nothing else does: the corpus is read by people too.
  if [[ ${GROW:-} == 1 ]]; then
    "$fuzz" -set_cover_merge=1 -use_counters=0 -max_len=1000 "$corpus" "$found/$target" >>"$log" 2>&1
    echo "          corpus: $(find "$corpus" -type f | wc -l) inputs"
  fi
done
