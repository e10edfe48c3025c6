#!/usr/bin/env bash
# The rules of dependency that the compiler does not check. Prints each line that breaks one.
set -euo pipefail
cd "$(dirname "$0")/../.."

broken=0
# complain RULE LINES: reports the lines, if any.
complain() {
  [[ -z $2 ]] && return
  printf '%s:\n%s\n' "$1" "$2" >&2
  broken=1
}
imports() { grep -rnE "^(@[a-zA-Z_]+(\([^)]*\))? *)?((public|package|internal) +)?import +$1\b" "${@:2}" --include='*.swift' || true; }

complain "CNghttp2 belongs to Sources/HTTP2 alone" "$(imports CNghttp2 Sources services Tests | grep -v '^Sources/HTTP2/' || true)"
complain "CZlib belongs to Sources/RPC/Compression alone" \
  "$(imports CZlib Sources services Tests | grep -v '^Sources/RPC/Compression/' || true)"
complain "CProtobufC and CMessages belong to Sources/Messages and the generator alone" \
  "$(imports '(CProtobufC|CMessages)' Sources services Tests | grep -vE '^Sources/(Messages|protoc-gen-buddy)/' || true)"
complain "CLibXML2 belongs to the tools of services/execution alone" \
  "$(imports CLibXML2 Sources services Tests | grep -v '^services/execution/Tools/' || true)"
complain "CLibPQ belongs to Sources/Storage alone" "$(imports CLibPQ Sources services Tests | grep -v '^Sources/Storage/' || true)"
complain "GRDB belongs to Sources/Storage alone" "$(imports GRDB Sources services Tests | grep -v '^Sources/Storage/' || true)"
complain "Storage must not know RPC" "$(imports '(RPC|Stubs|HTTP2)' Sources/Storage)"
complain "RPC must not know Storage or Messages" "$(imports '(Storage|Messages|Stubs)' Sources/RPC Sources/HTTP2)"
complain "A service must not import a service" "$(imports '[A-Za-z]+Service' services)"
complain "TestSupport and ServiceTestSupport are for tests only" \
  "$(imports '(Service)?TestSupport' Sources services | grep -vE '^Sources/(Service)?TestSupport/' || true)"
complain "No pointer in a public or package signature" \
  "$(grep -rnE '^\s*(public|package) .*(Unsafe[A-Za-z]*Pointer|OpaquePointer)' Sources services --include='*.swift' || true)"
exit $broken
