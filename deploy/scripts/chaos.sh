#!/usr/bin/env bash
# Kills services at random moments under 50 submitters and counts what was lost or doubled; then kills clients and services
# while missions are watched in four ways, and compares what was seen. Exits with 1 if anything was wrong.
# KILLS (200), WATCH_KILLS (100), MISSIONS (200), SEED (random) and LIMIT (600, in seconds, of each) can be set; BUDDY_BIN
# is where the services are: by default a debug build of what is here.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh test
deploy/scripts/python.sh
if [[ -z ${BUDDY_BIN:-} ]]; then
  swift build
  BUDDY_BIN=$(swift build --show-bin-path)
fi
echo "services of $BUDDY_BIN"
export BUDDY_BIN PYTHONDONTWRITEBYTECODE=1
result=0
.venv/bin/python Tests/interop/chaos.py || result=1
.venv/bin/python Tests/interop/watch_chaos.py || result=1
exit $result
