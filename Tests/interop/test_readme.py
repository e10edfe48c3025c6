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
    if default.lstrip("[").startswith("InfrastructureServices."):
        return ["| health and reflection |" if default.endswith(".names") else "| health |"]
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
    if found := re.fullmatch(r"(\w+)\(\)|(default\w+)", default):
        return [f"`{found[1] or found[2]}`"]
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


TYPES = {
    "RPC/Client/Retry/RetryPolicy.swift": ("RetryPolicy", "HedgingPolicy", "RetryThrottling"),
    "RPC/TLS/ServerTLS.swift": ("ServerTLS",),
    "RPC/TLS/ClientTLS.swift": ("ClientTLS",),
    "RPC/Interceptors/Authentication.swift": ("Authentication",),
    "RPC/Interceptors/ConcurrencyLimit.swift": ("ConcurrencyLimit",),
    "RPC/Interceptors/Credentials.swift": ("Credentials",),
    "RPC/Interceptors/DefaultDeadline.swift": ("DefaultDeadline",),
    "RPCTelemetry/CallLogging.swift": ("CallLogging",),
    "RPCTelemetry/CallMetrics.swift": ("CallMetrics",),
    "RPCTelemetry/CallTracing.swift": ("CallTracing",),
}


def apart(text):
    """The parts between the commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text.replace("->", "→"):
        depth += (character in "([{<") - (character in ")]}>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def parameters():
    """(type, parameter, default as Swift or None) of the initializer that each is made with, the last where there are more."""
    for file, types in TYPES.items():
        text = (RPC.parent / file).read_text()
        for kind in types:
            body = re.split(rf"^public (?:struct|final class) {kind}: ", text, flags=re.M)[1].split("\n}\n")[0]
            last = re.split(r"^  public init\(", body, flags=re.M)[-1]
            for parameter in apart(re.match(r"(.*?)\s*\)(?: async)?(?: throws\S*)? \{", last, flags=re.S)[1]):
                names, _, rest = parameter.partition(": ")
                default = rest.split(" = ", 1)[1] if " = " in rest else None
                label, *inner = names.split(" ")
                yield kind, inner[0] if label == "_" else label, default


@pytest.mark.parametrize("struct, name, default", list(parameters()), ids=lambda value: str(value))
def test_every_parameter_is_there_with_its_default(struct, name, default):
    rows = [row for row in re.findall(r"^\|.*$", README, flags=re.M) if f"`{struct}.{name}`" in row]
    assert len(rows) == 1, rows
    wanted = spellings(default) if default else ["no default"]
    assert any(spelling in rows[0] for spelling in wanted), (wanted, rows)


def test_there_are_parameters():
    found = list(parameters())
    assert len(found) == 46, found
    assert ("ConcurrencyLimit", "queue", "0") in found and ("DefaultDeadline", "maximum", "nil") in found
    assert ("Credentials", "maximumRetry", ".seconds(60)") in found and ("CallLogging", "logger", None) in found
    assert ("RetryPolicy", "backoffMultiplier", "2") in found and ("HedgingPolicy", "hedgingDelay", None) in found


def constants():
    """(type.name, value) of the limits that nobody can change."""
    for folder in ["RPC", "RPCTelemetry", "StandardServices", "Stubs"]:
        for path in sorted((RPC.parent / folder).rglob("*.swift")):
            for name, value in re.findall(r"^  (?:public )?static let (\w+Limit) = (.+)$", path.read_text(), flags=re.M):
                yield f"{path.stem}.{name}", value


@pytest.mark.parametrize("name, value", list(constants()), ids=lambda value: value)
def test_every_constant_limit_is_there(name, value):
    sentences = [part for part in re.split(r"\n\n|^(?=\|)", README, flags=re.M) if f"`{name}`" in part]
    assert sentences and any(spelling in sentences[0] for spelling in spellings(value)), (name, value)


def test_there_are_constants():
    assert {"Health.listLimit", "CallMetrics.methodLimit"} <= {name for name, _ in constants()}


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
