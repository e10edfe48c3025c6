#!/usr/bin/env bash
# Makes .venv with the foreign clients the tests use, unless it is there and up to date.
set -euo pipefail
cd "$(dirname "$0")/../.."

wanted=Tests/interop/requirements.txt
if ! cmp -s "$wanted" .venv/requirements.txt; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
  cp "$wanted" .venv/requirements.txt
fi
