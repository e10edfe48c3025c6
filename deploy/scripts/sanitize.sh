#!/usr/bin/env bash
# The tests of the RPC runtime under ThreadSanitizer: fails at a data race, which it prints, or at a failed test.
# Arguments go to the tests (--filter NAME).
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
export BUDDY_PART=rpc
swift build --build-tests --sanitize=thread --scratch-path .build-tsan
bin=$(swift build --show-bin-path --scratch-path .build-tsan)
# What Swift's runtime does not tell ThreadSanitizer. Only the toolchain's own compiler knows Swift's calls.
edges=$bin/tsan-continuations.so
"$(dirname "$(readlink -f "$(command -v swift)")")/clang" -O1 -shared -fPIC -Wall -Wextra -Werror \
  -o "$edges" deploy/scripts/tsan-continuations.c -ldl
LD_PRELOAD=$edges \
  TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/deploy/scripts/tsan-suppressions.txt ${TSAN_OPTIONS:-}" \
  "$bin/buddyPackageTests.xctest" --testing-library swift-testing --no-parallel "$@"
