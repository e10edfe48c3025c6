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
    if default in ("nil", "{ _ in }"):
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
    if found := re.fullmatch(r"\[\.(\w+)\]", default):
        return [found[1].upper()]
    if found := re.fullmatch(r"(?:\w+)?(\.\w+)", default):
        return [found[1]]
    if found := re.fullmatch(r"(\w+)\(\)", default):
        return [f"`{found[1]}`"]
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


def parameters():
    """(struct, parameter, default as Swift or None) of the initializers that options are made with."""
    files = {"Client/Retry/RetryPolicy.swift": ("RetryPolicy", "HedgingPolicy", "RetryThrottling"),
             "TLS/ServerTLS.swift": ("ServerTLS",), "TLS/ClientTLS.swift": ("ClientTLS",)}
    for file, structs in files.items():
        text = (RPC / file).read_text()
        for struct in structs:
            body = text.split(f"public struct {struct}:")[1]
            given = re.search(r"  public init\((.*?)\n?\s*\) throws", body, flags=re.S)[1]
            for name, default in re.findall(r"(\w+): (?:[\w.?<>\[\]]|@escaping .*?Void)+(?: = ([^,\n]+))?", given):
                yield struct, name, default.strip() or None


@pytest.mark.parametrize("struct, name, default", list(parameters()), ids=lambda value: str(value))
def test_every_parameter_is_there_with_its_default(struct, name, default):
    rows = [row for row in re.findall(r"^\|.*$", README, flags=re.M) if f"`{struct}.{name}`" in row]
    assert len(rows) == 1, rows
    wanted = spellings(default) if default else ["no default"]
    assert any(spelling in rows[0] for spelling in wanted), (wanted, rows)


def test_there_are_parameters():
    found = list(parameters())
    assert len(found) == 24, found
    assert ("RetryPolicy", "backoffMultiplier", "2") in found and ("HedgingPolicy", "hedgingDelay", None) in found


def test_lines_end_at_column_130():
    assert [line for line in README.splitlines() if len(line) > 130] == []


def test_there_are_options():
    assert {"ServerOptions", "ClientOptions", "CallOptions"} <= {struct for struct, _, _ in options()}


def code(heading):
    """The lines of the first example below a heading, without blank lines and comments."""
    block = README.split(f"\n## {heading}\n")[1].split("```swift\n")[1].split("```")[0]
    lines = [re.sub(r"\s*//.*", "", line).strip() for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("heading", ["A server", "A client"])
def test_it_takes_twenty_lines_and_compiles(heading):
    """ReadmeTests.swift runs what the README shows, line for line."""
    lines = code(heading)
    assert len([line for line in lines if not line.startswith("import ")]) <= 20
    tested = (ROOT / "Tests/RPCTests/ReadmeTests.swift").read_text().splitlines()
    assert [line for line in lines if line not in {re.sub(r"\s*//.*", "", one).strip() for one in tested}] == []


def test_every_interoperability_case_is_in_the_table():
    source = (ROOT / "Tests/Tools/rpc-interop-client/Cases.swift").read_text()
    cases = re.findall(r'^    "(\w+)":', source, flags=re.M)
    assert len(cases) >= 30
    for case in cases:
        assert f"`{case}`" in README, case
