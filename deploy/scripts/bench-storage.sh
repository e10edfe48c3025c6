#!/usr/bin/env bash
# Rows written per second, each of them durable before its writer goes on: one a commit, and group commit with 64 writers;
# on SQLite, and on a PostgreSQL server of its own.
# FOLDER (.build-bench) decides which disk is measured. Exits with 1 if group commit is less than 10 times as fast.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/scripts/setup.sh test
swift build -c release --product storage-bench
folder=${FOLDER:-.build-bench}
mkdir -p "$folder"
"$(swift build -c release --show-bin-path)/storage-bench" --folder "$folder" --least-ratio 10 "$@"
