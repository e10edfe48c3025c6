"""Makes the modules of proto/ importable: importing this one is enough."""

import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).parent.parent.parent / "proto"


def _compile():
    """Compiles proto/ with grpcio-tools into a folder of its own, so that nothing of ours is between the client and
    the wire."""
    folder = tempfile.mkdtemp(prefix="buddy-protos-")
    files = [str(path.relative_to(PROTO)) for path in sorted(PROTO.rglob("*.proto"))]
    # The health protocol comes with grpcio-health-checking, the well-known types with protobuf, and OpenTelemetry's
    # from its own package: the real ones, of which ours are a part.
    files = [file for file in files if not file.startswith(("google/", "grpc/health", "opentelemetry/"))]
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", *outputs, *files]) == 0
    return folder


FOLDER = _compile()
sys.path.insert(0, FOLDER)
# The package of gRPC's own test services has the name of grpcio's.
grpc.__path__.append(f"{FOLDER}/grpc")
