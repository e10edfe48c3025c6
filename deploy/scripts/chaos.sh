#!/usr/bin/env bash
# Kills services at random moments under 50 submitters and counts what was lost or doubled; exits with 1 if anything was.
# KILLS (200), SEED (random) and LIMIT (600, in seconds) can be set; BUDDY_BIN is where the services are: by default a debug
# build of what is here.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh test
deploy/scripts/python.sh
if [[ -z ${BUDDY_BIN:-} ]]; then
  swift build
  BUDDY_BIN=$(swift build --show-bin-path)
fi
echo "services of $BUDDY_BIN"
BUDDY_BIN=$BUDDY_BIN PYTHONDONTWRITEBYTECODE=1 exec .venv/bin/python Tests/interop/chaos.py
