#!/usr/bin/env bash
# Unary echo with real decoding and encoding: our server beside gRPC C++'s, turn by turn in one run. The server has one
# core, h2load the other: 4 connections with 50 streams each, a 5-byte text. Prints requests/s and the ratio of the medians.
# Exits with 1 if a server does not answer rightly.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-5}
requests=${REQUESTS:-200000}
for program in h2load taskset protoc g++ grpc_cpp_plugin; do
  command -v "$program" >/dev/null || { echo "$program is missing; deploy/scripts/setup.sh bench installs it" >&2; exit 69; }
done
[[ $(nproc) -ge 2 ]] || { echo "this needs two cores: one for the server, one for the load" >&2; exit 69; }

work=.build-bench/grpc-cpp-echo
source=Tests/Benchmarks/grpc-cpp-echo/echo_server.cc
proto=buddy/testing/v1/testing.proto
if [[ ! -x $work/echo_server || $source -nt $work/echo_server || proto/$proto -nt $work/echo_server ]]; then
  mkdir -p "$work"
  # The well-known types come from the installed protobuf, as its generated code does.
  include=$(mktemp -d)
  mkdir -p "$include/buddy/testing/v1"
  cp "proto/$proto" "$include/$proto"
  protoc -I"$include" --cpp_out="$work" --grpc_out="$work" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "$proto"
  g++ -O2 -std=c++17 -I"$work" "$source" "$work"/buddy/testing/v1/*.cc $(pkg-config --libs --cflags grpc++ protobuf) \
    -o "$work/echo_server"
  rm -rf "$include"
fi
ours=$(swift build -c release --show-bin-path)/rpc-echo-server
theirs=$work/echo_server

scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$scratch"' EXIT
# One gRPC frame: not compressed, 7 bytes, field 1 with the 5-byte text.
printf '\x00\x00\x00\x00\x07\x0a\x05hello' >"$scratch/request"

# start NAME PROGRAM: starts a server on core 0 and sets port_NAME.
start() {
  taskset -c 0 "$2" >"$scratch/$1.out" 2>&1 &
  for _ in $(seq 100); do grep -q "listening on" "$scratch/$1.out" && break; sleep 0.1; done
  declare -g "port_$1=$(sed -n 's/^listening on //p' "$scratch/$1.out")"
}

# load NAME REQUESTS STREAMS CONNECTIONS: runs h2load, checks that every call succeeded and gave the echo back.
load() {
  local port=port_$1
  taskset -c 1 h2load -n "$2" -c "$4" -m "$3" -d "$scratch/request" -H 'content-type: application/grpc' -H 'te: trailers' \
    "http://127.0.0.1:${!port}/buddy.testing.v1.Echo/Say" >"$scratch/load" 2>&1 || { cat "$scratch/load" >&2; exit 1; }
  grep -q "status codes: $2 2xx" "$scratch/load" || { echo "$1 did not answer every call with 200" >&2; cat "$scratch/load" >&2; exit 1; }
  # 12 bytes of DATA a call: a refusal has none.
  grep -qE "\($((12 * $2))\) data" "$scratch/load" || { echo "$1 did not give every echo back" >&2; cat "$scratch/load" >&2; exit 1; }
}
rate() { sed -nE 's/^finished in [^,]*, ([0-9.]+) req\/s.*/\1/p' "$scratch/load"; }
latency() { sed -nE 's/^time for request: +[^ ]+ +[^ ]+ +([^ ]+) .*/\1/p' "$scratch/load"; }
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

start ours "$ours"
start theirs "$theirs"
for name in ours theirs; do load "$name" 20000 50 4; done
for round in $(seq "$rounds"); do
  for name in ours theirs; do
    load "$name" "$requests" 50 4
    rate >>"$scratch/$name.rates"
    printf 'round %d  %-8s %10.0f requests/s\n' "$round" "$([[ $name == ours ]] && echo Buddy || echo gRPC C++)" "$(rate)"
  done
done
a=$(median <"$scratch/ours.rates")
b=$(median <"$scratch/theirs.rates")
printf 'unary echo, 4 connections x 50 streams, median of %d: Buddy %.0f, gRPC C++ %.0f requests/s, ratio %.2f\n' \
  "$rounds" "$a" "$b" "$(awk "BEGIN { print $a / $b }")"
for name in ours theirs; do
  load "$name" 10000 1 1
  printf 'one stream, mean latency: %-8s %s\n' "$([[ $name == ours ]] && echo Buddy || echo gRPC C++)" "$(latency)"
done
