#!/usr/bin/env bash
# The tests of the RPC runtime under ThreadSanitizer: exits with 1 at a data race, which it prints, or at a failed test.
# Arguments go to the tests (--filter NAME).
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
export BUDDY_PART=rpc
swift build --build-tests --sanitize=thread --scratch-path .build-tsan
bin=$(swift build --show-bin-path --scratch-path .build-tsan)
TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/deploy/scripts/tsan-suppressions.txt ${TSAN_OPTIONS:-}" \
  "$bin/buddyPackageTests.xctest" --testing-library swift-testing --no-parallel "$@"
