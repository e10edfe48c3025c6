#!/usr/bin/env bash
# Installs the Debian packages that are needed and not there: setup.sh build | test | bench
# On a system without apt-get it names what is missing and fails.
set -euo pipefail

build=(make git ca-certificates tzdata pkg-config libnghttp2-dev libprotobuf-c-dev libsqlite3-dev libxml2-dev libpq-dev zlib1g-dev)
test=("${build[@]}" postgresql openssl protobuf-c-compiler protobuf-compiler python3 python3-venv
  g++ libgrpc++-dev protobuf-compiler-grpc nghttp2-server)
bench=("${test[@]}" nghttp2-client)

case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${test[@]}") ;;
  bench) wanted=("${bench[@]}") ;;
  *) echo "usage: $0 build | test | bench" >&2; exit 64 ;;
esac

if ! command -v swift >/dev/null; then
  echo "Buddy needs the Swift 6.2 toolchain or a newer one on the PATH: https://www.swift.org/install/linux" >&2
  exit 69
fi

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
  done
else
  # Without dpkg: look for what the packages are needed for.
  commands=(make git pkg-config)
  [[ $1 == build ]] || commands+=(protoc protoc-c python3 psql openssl setpriv g++ grpc_cpp_plugin nghttpd)
  [[ $1 == bench ]] && commands+=(h2load taskset)
  for command in "${commands[@]}"; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  for module in libnghttp2 libprotobuf-c sqlite3 libxml-2.0 libpq zlib; do
    pkg-config --exists "$module" 2>/dev/null || missing+=("$module (development files)")
  done
fi
[[ ${#missing[@]} -eq 0 ]] && exit 0

if ! command -v apt-get >/dev/null; then
  printf 'Please install these first, by the names your system gives them:\n' >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 69
fi
sudo=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "Please install these as root: apt-get install ${missing[*]}" >&2
    exit 69
  fi
  sudo=(sudo)
fi
echo "Installing system packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
