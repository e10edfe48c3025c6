#!/usr/bin/env bash
# Kills services at random moments under 50 submitters and counts what was lost or doubled; exits with 1 if anything was.
# KILLS (200), SEED (random) and LIMIT (600, in seconds) can be set; BUDDY_BIN is where the services are: by default the newer
# of the release and the debug build.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh test
deploy/scripts/python.sh
if [[ -z ${BUDDY_BIN:-} ]]; then
  release=$(swift build -c release --show-bin-path)
  BUDDY_BIN=$(swift build --show-bin-path)
  [[ $release/buddy-execution -nt $BUDDY_BIN/buddy-execution ]] && BUDDY_BIN=$release
  [[ -x $BUDDY_BIN/buddy-execution ]] || swift build
fi
echo "services of $BUDDY_BIN"
BUDDY_BIN=$BUDDY_BIN PYTHONDONTWRITEBYTECODE=1 exec .venv/bin/python Tests/interop/chaos.py
