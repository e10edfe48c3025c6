#!/usr/bin/env bash
# The RPC runtime's figures beside gRPC C++'s and bare nghttp2's, each with its goal: builds both sides, then measures
# (rpc/figures.py; arguments go to it: figures by name, --rounds, --only-print). Servers have one core, the load the
# other.
# BUDDY_BIN: a folder with release binaries of rpc-echo-server and rpc-bench-client, so that nothing is built here.
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in h2load taskset protoc gcc g++ grpc_cpp_plugin openssl python3; do
  command -v "$program" >/dev/null ||
    { echo "$program is missing; deploy/scripts/setup.sh bench installs it" >&2; exit 69; }
done
[[ $(nproc) -ge 2 ]] || { echo "this needs two cores: one for the server, one for the load" >&2; exit 69; }

binaries=${BUDDY_BIN:-}
if [[ -z $binaries ]]; then
  flags=(-c release --scratch-path .build-rpc)
  export BUDDY_PART=rpc
  for product in rpc-echo-server rpc-bench-client; do swift build "${flags[@]}" --product "$product" >&2; done
  binaries=$(swift build "${flags[@]}" --show-bin-path)
fi

sources=Tests/Benchmarks
peers=.build-bench/rpc-peers
mkdir -p "$peers/generated/include/buddy/testing/v1"

# is_old TARGET SOURCE: whether the target has to be made.
is_old() { [[ ! -e $peers/$1 || $2 -nt $peers/$1 ]]; }

proto=buddy/testing/v1/testing.proto
generated=$peers/generated
if is_old messages.a "proto/$proto"; then
  # The well-known types come from the installed protobuf, as its generated code does.
  cp "proto/$proto" "$generated/include/$proto"
  protoc -I"$generated/include" --cpp_out="$generated" --grpc_out="$generated" \
    --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "$proto"
  for part in testing.pb testing.grpc.pb; do
    g++ -O2 -std=c++17 -I"$generated" -c "$generated/buddy/testing/v1/$part.cc" -o "$generated/$part.o"
  done
  rm -f "$peers/messages.a"
  ar rcs "$peers/messages.a" "$generated"/*.o
fi
shared=Tests/interop/grpc-cpp
for program in echo_server echo_client; do
  source=$sources/grpc-cpp-echo/$program.cc
  if is_old "$program" "$source" || is_old "$program" "$shared/serve.h" || is_old "$program" "$peers/messages.a"; then
    g++ -O2 -std=c++17 -I"$generated" -I"$shared" "$source" "$peers/messages.a" \
      $(pkg-config --libs --cflags grpc++ protobuf) -o "$peers/$program"
  fi
done
if is_old ceiling "$sources/rpc/ceiling.c"; then
  gcc -O2 -Wall "$sources/rpc/ceiling.c" $(pkg-config --libs --cflags libnghttp2) -o "$peers/ceiling"
fi
if is_old allocation_counter.so "$sources/rpc/allocation_counter.c"; then
  gcc -O2 -Wall -shared -fPIC "$sources/rpc/allocation_counter.c" -o "$peers/allocation_counter.so"
fi

exec python3 "$sources/rpc/figures.py" --binaries "$binaries" --peers "$peers" "$@"
