#!/usr/bin/env bash
# Every check and test, from a clean clone if need be. What this exits with is what decides.
set -euo pipefail
cd "$(dirname "$0")/../.."

step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

step "System packages"
deploy/scripts/setup.sh test

step "Architecture"
deploy/scripts/check-architecture.sh

# `CI` turns warnings into errors; see Package.swift.
export CI=true
flags=(--explicit-target-dependency-import-check error)

step "Build"
swift build --build-tests "${flags[@]}"

step "Generated sources"
proto/generate.sh --check

step "Swift tests"
# One after another: on few cores tests that compute would keep those that wait for sockets and processes from their
# turn for so long that real time limits pass.
swift test --skip-build --no-parallel "${flags[@]}"

step "Foreign clients"
deploy/scripts/python.sh
BUDDY_BIN="$(swift build --show-bin-path)" .venv/bin/python -m pytest Tests/interop -q -p no:cacheprovider

step "All passed"
