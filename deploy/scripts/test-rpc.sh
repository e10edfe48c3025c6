#!/usr/bin/env bash
# Builds the RPC runtime alone, without the services, and runs its Swift tests. Arguments go to them (--filter NAME).
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
# `CI` turns warnings into errors, as in test.sh; see Package.swift.
export CI=true BUDDY_PART=rpc
swift build --build-tests --scratch-path .build-rpc --explicit-target-dependency-import-check error
"$(swift build --show-bin-path --scratch-path .build-rpc)/buddyPackageTests.xctest" \
  --testing-library swift-testing --no-parallel "$@"
