#!/usr/bin/env bash
# Builds for release and prints how progress reaches those who watch: the time from an event to 1,000 WebSocket clients of
# the gateway, with and without one that reads nothing, and the memory of 10,000 idle watchers.
# Arguments go to progress-bench (--help lists them). Exits with 1 if a goal is missed. Ports PORT (8520) to PORT + 6, and
# those 1,000 above, must be free.
set -euo pipefail
cd "$(dirname "$0")/../.."

# 1,000 WebSockets take a descriptor at either end.
ulimit -n "$(ulimit -Hn)"
deploy/scripts/setup.sh build
swift build -c release
bin=$(swift build -c release --show-bin-path)
data=$(mktemp -d)
port=${PORT:-8520}
"$bin/buddy" up --port "$port" --data "$data" >"$data/up.log" 2>&1 &
up=$!
trap 'kill $up 2>/dev/null; wait $up 2>/dev/null; rm -rf "$data"' EXIT
for _ in $(seq 300); do grep -q "ready at" "$data/up.log" && break; sleep 0.1; done
grep "ready at" "$data/up.log" || { cat "$data/up.log"; exit 1; }
"$bin/progress-bench" --gateway-port "$port" --execution-port $((port + 1)) --progress-port $((port + 2)) \
  --progress-admin-port $((port + 1002)) "$@"
