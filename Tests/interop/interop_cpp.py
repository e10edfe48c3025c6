"""Compiles gRPC C++'s side of the interoperability tests, once for each state of its sources."""

import concurrent.futures
import hashlib
import pathlib
import shlex
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parent.parent.parent
SOURCES = ROOT / "Tests/interop/grpc-cpp"
PROTOS = ["grpc/testing/empty.proto", "grpc/testing/messages.proto", "grpc/testing/test.proto"]


def build():
    """The folder that holds `interop_server` and `interop_client`. Compiling takes about half a minute."""
    inputs = sorted(SOURCES.iterdir()) + [ROOT / "proto" / name for name in PROTOS]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    folder = ROOT / ".build-interop"
    if (folder / "state").exists() and (folder / "state").read_text() == state:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    plugin = f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}"
    run("protoc", f"-I{ROOT}/proto", f"--cpp_out={folder}", f"--grpc_out={folder}", plugin, *PROTOS)
    flags = shlex.split(run("pkg-config", "--cflags", "grpc++", "protobuf"))
    libraries = shlex.split(run("pkg-config", "--libs", "grpc++", "protobuf", "grpc"))
    generated = [path for path in folder.rglob("*.cc") if path.name != "empty.grpc.pb.cc"]
    units = [path for path in generated if path.name != "messages.grpc.pb.cc"] + sorted(SOURCES.glob("*.cc"))

    def compile(unit):
        target = folder / (unit.name + ".o")
        run("g++", "-std=c++17", "-O0", f"-I{folder}", f"-I{SOURCES}", *flags, "-c", unit, "-o", target)
        return target

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile, units))
    shared = [path for path in objects if ".pb.cc" in path.name]
    for program in ["interop_server", "interop_client"]:
        run("g++", folder / f"{program}.cc.o", *shared, *libraries, "-o", folder / program)
    (folder / "state").write_text(state)
    return folder


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}:\n{done.stderr}"
    return done.stdout
