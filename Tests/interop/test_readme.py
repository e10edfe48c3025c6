"""Sources/RPC/README.md says what the sources say: every option with its default, and examples that compile."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
RPC = ROOT / "Sources/RPC"
README = (RPC / "README.md").read_text()


def options():
    """(struct, property, default as Swift) of every public stored property of the structs of options."""
    for path in sorted(RPC.rglob("*Options.swift")):
        struct = None
        for line in path.read_text().splitlines():
            if found := re.match(r"public struct (\w+Options)\b", line):
                struct = found[1]
            elif line == "}":
                struct = None
            elif struct and (found := re.match(r"  public var (\w+)(?:: ([^={]+?))?(?: = (.+))?$", line)):
                name, kind, default = found.groups()
                if default is None:
                    default = "nil" if kind.endswith("?") else "empty"
                yield struct, name, default


def spellings(default):
    """How the README may write a default."""
    if default == "nil":
        return ["none", "nil", "never", "`Deadline.current`", "`ClientOptions."]
    if default in ("empty", '""', "[]", "[:]"):
        return ["empty", "none"]
    if found := re.fullmatch(r"\.(milliseconds|seconds)\(([\d_]+)\)", default):
        amount, unit = int(found[2].replace("_", "")), found[1]
        if unit == "milliseconds":
            return [f"{amount} ms"]
        whole = [f"{amount // size} {name}" for size, name in [(3600, "h"), (60, "min")] if amount % size == 0]
        return [f"{amount} s", *whole]
    if re.fullmatch(r"[\d_ *]+", default):
        number = eval(default.replace("_", ""))
        units = [f"{number >> bits} {name}" for bits, name in [(20, "MiB"), (10, "KiB")] if number % (1 << bits) == 0]
        return [f"{number:,}", *[unit for unit in units if not unit.startswith("0 ")]]
    if found := re.fullmatch(r"(?:\w+)?(\.\w+)", default):
        return [found[1]]
    return [default]


def sections(struct):
    """The parts of the README whose heading names the struct, and those that name its option in full."""
    parts = re.split(r"^(?=## )", README, flags=re.M)
    named = [part for part in parts if re.match(rf"## .*`{struct}`", part)]
    assert named, f"no heading names `{struct}`"
    return named


@pytest.mark.parametrize("struct, name, default", list(options()), ids=lambda value: value)
def test_every_option_is_there_with_its_default(struct, name, default):
    mention = f"`{struct}.{name}`" if struct == "CallOptions" else f"`{name}`"
    blocks = [block for part in sections(struct) for block in re.findall(r"^\|.*$|(?:^[^|\n].*\n)+", part, flags=re.M)]
    mentions = [block for block in blocks if mention in block]
    assert mentions, f"{mention} is not there"
    wanted = spellings(default)
    assert any(spelling in block for block in mentions for spelling in wanted), (wanted, mentions)


def test_there_are_options():
    assert {"ServerOptions", "ClientOptions", "CallOptions"} <= {struct for struct, _, _ in options()}


def code(heading):
    """The lines of the first example below a heading, without blank lines and comments."""
    block = README.split(f"\n## {heading}\n")[1].split("```swift\n")[1].split("```")[0]
    lines = [re.sub(r"\s*//.*", "", line).strip() for line in block.splitlines()]
    return [line for line in lines if line]


def test_a_server_takes_twenty_lines_and_compiles():
    """ReadmeTests.swift runs what the README shows, line for line; it prints nothing, and imports more."""
    lines = [line for line in code("A server") if not line.startswith(("import ", "print("))]
    assert len(lines) <= 20
    tested = [line.strip() for line in (ROOT / "Tests/RPCTests/ReadmeTests.swift").read_text().splitlines()]
    assert [line for line in lines if line not in tested] == []


def test_a_client_takes_twenty_lines():
    assert len(code("A client")) <= 20


def test_every_interoperability_case_is_in_the_table():
    source = (ROOT / "Tests/Tools/rpc-interop-client/Cases.swift").read_text()
    cases = re.findall(r'^    "(\w+)":', source, flags=re.M)
    assert len(cases) >= 30
    for case in cases:
        assert f"`{case}`" in README, case
