#!/usr/bin/env bash
# Builds for release and prints the figures: unary echo beside gRPC C++, and missions from submission to their end.
# For the missions, ports PORT (8520) to PORT + 6 must be free.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh bench
swift build -c release
bin=$(swift build -c release --show-bin-path)

echo "== RPC"
Tests/Benchmarks/bench-rpc.sh

echo "== Missions"
data=$(mktemp -d)
"$bin/buddy" up --port "${PORT:-8520}" --data "$data" >"$data/up.log" 2>&1 &
up=$!
trap 'kill $up 2>/dev/null; wait $up 2>/dev/null; rm -rf "$data"' EXIT
for _ in $(seq 300); do grep -q "ready at" "$data/up.log" && break; sleep 0.1; done
grep "ready at" "$data/up.log" || { cat "$data/up.log"; exit 1; }
port=${PORT:-8520}
"$bin/mission-bench" --execution-port $((port + 1)) --progress-port $((port + 2))
