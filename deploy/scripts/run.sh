#!/usr/bin/env bash
# Builds for release, starts everything and runs an example mission on a real data file. With a terminal Buddy stays up
# until Ctrl-C; without one it stops after the mission and exits with the mission's result.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh build
echo "Building for release; the first time takes several minutes."
swift build -c release
bin=$(swift build -c release --show-bin-path)
exec "$bin/buddy" up --port "${PORT:-8420}" \
  --then-run "Chart the average temperature by month" --input deploy/examples/weather-stations.csv "$@"
