#!/usr/bin/env bash
# Builds for release and prints the figures: the RPC runtime beside gRPC C++, and missions from submission to their end.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh bench
swift build -c release

echo "== RPC"
BUDDY_BIN=$(swift build -c release --show-bin-path) Tests/Benchmarks/bench-rpc.sh

deploy/scripts/bench-missions.sh
