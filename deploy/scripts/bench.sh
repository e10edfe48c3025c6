#!/usr/bin/env bash
# Builds for release and prints the figures: unary echo beside gRPC C++, and missions from submission to their end.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh bench
swift build -c release

echo "== RPC"
Tests/Benchmarks/bench-rpc.sh

deploy/scripts/bench-missions.sh
