#!/usr/bin/env bash
# Builds for release and prints how many missions of six steps all services finish a second, with 50 at a time, and how
# long one takes alone: first on new databases, then on such that hold 1,000 and 200,000 missions (SMALL, LARGE), turn
# by turn. Fails where the large ones make it more than 10 % slower. Every step is durable (SQLite, synchronous=FULL).
#
# The disk's own commits a second come first: figures of two runs compare only where these do. From PORT (8520) and
# PORT + 10 on, seven ports each must be free.
set -euo pipefail
cd "$(dirname "$0")/../.."

swift build -c release
bin=$(swift build -c release --show-bin-path)
port=${PORT:-8520}
beside=$((port + 10))
data=$(mktemp -d)
declare -A up=()
stop() {
  for at in "${!up[@]}"; do kill "${up[$at]}" 2>/dev/null && wait "${up[$at]}" 2>/dev/null; done || true
  up=()
}
trap 'stop; rm -rf "$data"' EXIT

start() { # port, folder
  "$bin/buddy" up --port "$1" --data "$2" >"$2.log" 2>&1 &
  up[$1]=$!
  for _ in $(seq 300); do grep -q "ready at" "$2.log" && return; sleep 0.1; done
  cat "$2.log"
  exit 1
}

# The two measurements of an installation, or of two beside each other.
measure() { # windows, options
  local windows=$1
  shift
  "$bin/mission-bench" "$@" --concurrency 1 --missions 60 --windows "$windows"
  "$bin/mission-bench" "$@" --concurrency 50 --missions 300 --windows "$windows"
}

echo "== The disk: rows of 300 bytes, each with a commit of its own (single), or sharing them (group)"
"$bin/storage-bench" --without-postgres --rounds 3 --seconds 1 --folder "$data" | grep -E "^  (single|group)"

echo "== New databases"
start "$port" "$data/small"
measure 9 --execution-port $((port + 1)) --progress-port $((port + 2)) --services-of "${up[$port]}"
stop

echo "== ${SMALL:-1000} missions stored, and ${LARGE:-200000}"
cp -r "$data/small" "$data/large"
# What was measured above is more than the small database is to hold; so it begins with a few hundred of its own.
rm -rf "$data/small"
mkdir "$data/small"
start "$port" "$data/small"
"$bin/mission-bench" --execution-port $((port + 1)) --progress-port $((port + 2)) --concurrency 20 --missions 200 \
  --windows 1 >/dev/null
stop
Tests/Benchmarks/fill-missions.py "$data/small" "${SMALL:-1000}"
Tests/Benchmarks/fill-missions.py "$data/large" "${LARGE:-200000}"
start "$port" "$data/small"
start "$beside" "$data/large"
measure "${WINDOWS:-15}" \
  --execution-port $((port + 1)) --progress-port $((port + 2)) --services-of "${up[$port]}" \
  --execution-port $((beside + 1)) --progress-port $((beside + 2)) --services-of "${up[$beside]}" --least-share 0.9
