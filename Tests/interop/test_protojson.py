"""ProtoJSON against Python's google.protobuf.json_format: the same messages, the same JSON, both ways.

BUDDY_BIN is the folder of the built binaries (for example .build/debug). BUDDY_TEST_SEED repeats a run.
"""

import importlib
import json
import math
import os
import random
import struct
import subprocess

import pytest
from google.protobuf import json_format

MESSAGES = 300
SEED = int(os.environ.get("BUDDY_TEST_SEED", random.randrange(1 << 32)))
NAME = "buddy.testing.v1.EveryField"


@pytest.fixture(scope="session")
def pb():
    """The Python code of testing.proto, which conftest.py has made."""
    return importlib.import_module("buddy.testing.v1.testing_pb2")


class Refused(Exception):
    pass


class Converter:
    """Speaks to the test-only executable protojson-convert; its source describes the format."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, operation, content, name=NAME):
        request = operation.encode() + bytes([len(name)]) + name.encode() + content
        self.process.stdin.write(struct.pack(">I", len(request)) + request)
        self.process.stdin.flush()
        (length,) = struct.unpack(">I", self._read(4))
        reply = self._read(length)
        if reply[:1] == b"e":
            raise Refused(reply[1:].decode())
        return reply[1:]

    def _read(self, count):
        data = self.process.stdout.read(count)
        assert len(data) == count, f"the converter ended with {self.process.wait()}"
        return data

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0


@pytest.fixture(scope="session")
def convert():
    folder = os.environ.get("BUDDY_BIN")
    assert folder, "set BUDDY_BIN to the folder of the built binaries"
    converter = Converter(os.path.join(folder, "protojson-convert"))
    yield converter
    converter.close()


# ---- random messages ----


class Random:
    """Values of every kind of field, extremes among them."""

    def __init__(self, seed, pb):
        self.rng = random.Random(seed)
        self.pb = pb

    def integer(self, low, high):
        return self.rng.choice([low, high, 0, 1, self.rng.randint(low, high), self.rng.randint(0, 100)])

    def int32(self):
        return self.integer(-(1 << 31), (1 << 31) - 1)

    def int64(self):
        return self.integer(-(1 << 63), (1 << 63) - 1)

    def uint32(self):
        return self.integer(0, (1 << 32) - 1)

    def uint64(self):
        return self.integer(0, (1 << 64) - 1)

    def floating(self, code, bits):
        special = [0.0, 1.0, -1.5, 0.1, math.inf, -math.inf, math.nan, 1e10, 123456789.0, 1e-5]
        if self.rng.random() < 0.4:
            value = self.rng.choice(special)
        else:
            value = struct.unpack(code, self.rng.randbytes(bits // 8))[0]
        if math.isnan(value):
            return math.nan  # JSON knows one NaN only
        # protobuf-c leaves out a scalar that equals zero, the negative zero too.
        return 0.0 if value == 0 else value

    def double(self):
        return self.floating("<d", 64)

    def float(self):
        return self.floating("<f", 32)

    def string(self):
        limits = [0x7F, 0x7FF, 0xD7FF, 0x10FFFF]
        points = [self.rng.randint(1, self.rng.choice(limits)) for _ in range(self.rng.randint(0, 12))]
        return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)

    def key(self):
        # Swift's strings are equal where Unicode says so, whatever their bytes: keys keep to one form.
        letters = "abcXYZ09._ \"\\/\n\u00e9\u4e2d\U0001f600"
        return "".join(self.rng.choice(letters) for _ in range(self.rng.randint(0, 8)))

    def bytes(self):
        return self.rng.randbytes(self.rng.randint(0, 20))

    def bool(self):
        return self.rng.random() < 0.5

    def color(self):
        return self.rng.choice([0, 1, 2, -1, 77])

    def leaf(self):
        return self.pb.Leaf(name=self.string(), number=self.int32())

    def many(self, make):
        return [make() for _ in range(self.rng.choice([0, 1, 4]))]

    def every_field(self):
        m = self.pb.EveryField()
        self.scalars(m)
        self.lists(m)
        self.maps(m)
        self.oneof(m)
        self.well_known(m)
        return m

    def scalars(self, m):
        kinds = dict(
            double_value=self.double, float_value=self.float, int32_value=self.int32, int64_value=self.int64,
            uint32_value=self.uint32, uint64_value=self.uint64, sint32_value=self.int32, sint64_value=self.int64,
            fixed32_value=self.uint32, fixed64_value=self.uint64, sfixed32_value=self.int32,
            sfixed64_value=self.int64, bool_value=self.bool, string_value=self.string, bytes_value=self.bytes,
            color=self.color, renamed=self.string)
        for name, make in kinds.items():
            if self.bool():
                setattr(m, name, make())
        if self.bool():
            m.leaf.CopyFrom(self.leaf())

    def lists(self, m):
        kinds = dict(
            doubles=self.double, floats=self.float, int32s=self.int32, int64s=self.int64, uint32s=self.uint32,
            uint64s=self.uint64, sint32s=self.int32, sint64s=self.int64, fixed32s=self.uint32, fixed64s=self.uint64,
            sfixed32s=self.int32, sfixed64s=self.int64, bools=self.bool, strings=self.string,
            byte_strings=self.bytes, colors=self.color, leaves=self.leaf, unpacked=self.int32)
        for name, make in kinds.items():
            getattr(m, name).extend(self.many(make))

    def maps(self, m):
        for key in self.many(self.key):
            m.string_map[key] = self.string()
        for key in self.many(self.int32):
            m.leaf_map[key].CopyFrom(self.leaf())
        for key in self.many(self.bool):
            m.bool_map[key] = self.double()
        for key in self.many(self.uint64):
            m.bytes_map[key] = self.bytes()
        for key in self.many(self.key):
            m.color_map[key] = self.color()
        for key in self.many(self.int64):
            m.number_map[key] = self.uint32()

    def oneof(self, m):
        kinds = dict(
            choice_text=self.string, choice_number=self.int64, choice_bytes=self.bytes, choice_color=self.color,
            choice_flag=self.bool, choice_double=self.double)
        name = self.rng.choice([*kinds, "choice_leaf", None])
        if name == "choice_leaf":
            m.choice_leaf.CopyFrom(self.leaf())
        elif name:
            setattr(m, name, kinds[name]())

    def nanos(self):
        return self.rng.choice([0, 500_000_000, 1_000, 1, 999_999_999, self.rng.randrange(10**9)])

    def well_known(self, m):
        if self.bool():
            m.timestamp.seconds = self.integer(-62135596800, 253402300799)
            m.timestamp.nanos = self.nanos()
        if self.bool():
            sign = self.rng.choice([1, -1])
            m.duration.seconds = sign * self.rng.choice([0, 1, 59, self.rng.randrange(315576000000)])
            m.duration.nanos = sign * self.nanos()
        if self.bool():
            m.any.Pack(self.rng.choice([self.leaf(), m.timestamp, m.duration, m.empty]))
        if self.bool():
            m.empty.SetInParent()
        wrappers = dict(
            double=self.double, float=self.float, int64=self.int64, uint64=self.uint64, int32=self.int32,
            uint32=self.uint32, bool=self.bool, string=self.string, bytes=self.bytes)
        for name, make in wrappers.items():
            if self.bool():
                getattr(m, f"{name}_wrapper").SetInParent()
                getattr(m, f"{name}_wrapper").value = make()


@pytest.fixture(scope="session")
def messages(pb):
    print(f"BUDDY_TEST_SEED={SEED}")
    source = Random(SEED, pb)
    found = [source.every_field() for _ in range(MESSAGES)]
    seen = {field.name for message in found for field, _ in message.ListFields()}
    assert seen == {field.name for field in pb.EveryField.DESCRIPTOR.fields}, "every kind of field is covered"
    return found


def same(first, second):
    """Equal messages; NaN, which equals nothing, is compared by its bytes."""
    return first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def largest_float_as_double(value):
    """Python writes the largest float as 3.4028235e+38, which is larger than it as a double; we write the double."""
    if isinstance(value, dict):
        return {key: largest_float_as_double(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [largest_float_as_double(inner) for inner in value]
    if isinstance(value, float) and abs(value) == 3.4028235e38:
        return math.copysign(3.4028234663852886e38, value)
    return value


# ---- tests ----


def test_binary_becomes_pythons_json(messages, convert):
    for message in messages:
        ours = json.loads(convert("j", message.SerializeToString()))
        theirs = json.loads(json_format.MessageToJson(message))
        assert largest_float_as_double(ours) == largest_float_as_double(theirs), f"BUDDY_TEST_SEED={SEED}"


def test_defaults_and_names_are_pythons(messages, convert):
    for message in messages[:50]:
        wire = message.SerializeToString()
        theirs = json.loads(json_format.MessageToJson(message, always_print_fields_with_no_presence=True))
        assert largest_float_as_double(json.loads(convert("d", wire))) == largest_float_as_double(theirs)
        theirs = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))
        assert largest_float_as_double(json.loads(convert("n", wire))) == largest_float_as_double(theirs)


def test_python_reads_our_json(messages, convert, pb):
    for message in messages:
        ours = convert("j", message.SerializeToString())
        assert same(json_format.Parse(ours, pb.EveryField()), message), f"BUDDY_TEST_SEED={SEED}: {ours}"


def test_we_read_pythons_json(messages, convert, pb):
    for message in messages:
        for names in (False, True):
            theirs = json_format.MessageToJson(message, preserving_proto_field_name=names, ensure_ascii=names)
            wire = convert("w", theirs.encode())
            assert same(pb.EveryField.FromString(wire), message), f"BUDDY_TEST_SEED={SEED}: {theirs}"


def test_binary_comes_back(messages, convert, pb):
    for message in messages:
        wire = convert("b", message.SerializeToString())
        assert same(pb.EveryField.FromString(wire), message), f"BUDDY_TEST_SEED={SEED}"


@pytest.mark.parametrize("text", [
    '{"int32Value": 1e2, "int64Value": 5, "uint64Value": "6", "uint32Value": 7.0}',
    '{"int32_value": 1, "renamed": "x"}',
    '{"otherName": "x"}',
    '{"bytesValue": "-_-_", "byteStrings": ["", "AA", "AA=="]}',
    '{"color": 1, "colors": ["COLOR_GREEN", -1, 12]}',
    '{"doubleValue": "Infinity", "floatValue": "NaN", "doubles": ["1.5", 2]}',
    '{"leaf": null, "strings": null, "choiceText": null, "choiceNumber": 4, "int32Wrapper": null}',
    '{"timestamp": "1969-12-31T23:59:59.25-23:59", "duration": "-3.000000001s"}',
    '{"any": {"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "5"}}',
    '{"any": {"@type": "type.googleapis.com/buddy.testing.v1.Leaf", "name": "\\ud83d\\ude00"}}',
    '{"boolMap": {"true": 1}, "numberMap": {"-1": 2}, "leafMap": {"3": {}}}',
    '{"empty": {}, "stringWrapper": "", "choiceLeaf": {}}',
])
def test_both_read_the_same(text, convert, pb):
    assert same(pb.EveryField.FromString(convert("w", text.encode())), json_format.Parse(text, pb.EveryField()))


@pytest.mark.parametrize("text", [
    "", "{", "null", "1", '{"a": }', '{"int32Value": 1} x', '{"unknown": 1}', '{"leaf": {"unknown": 1}}',
    '{"int32Value": 1, "int32Value": 2}', '{"stringMap": {"a": "1", "a": "2"}}',
    '{"int32Value": 2147483648}', '{"int32Value": -2147483649}', '{"uint32Value": -1}',
    '{"int64Value": "9223372036854775808"}', '{"uint64Value": 18446744073709551616}', '{"int32Value": 1.5}',
    '{"int32Value": "x"}', '{"int32Value": ""}',
    '{"int32Value": true}', '{"int32Value": {}}', '{"doubleValue": "x"}', '{"doubleValue": 1e400}',
    '{"floatValue": 1e39}', '{"boolValue": 1}', '{"boolValue": "true"}', '{"stringValue": 1}', '{"bytesValue": 1}',
    '{"color": "COLOR_PINK"}', '{"leaf": 1}', '{"strings": "x"}', '{"strings": [1]}',
    '{"int32s": [null]}', '{"leaves": [null]}', '{"stringMap": []}', '{"stringMap": {"a": null}}',
    '{"stringMap": {"a": 1}}',
    '{"leafMap": {"x": {}}}', '{"boolMap": {"yes": 1}}', '{"choiceText": "a", "choiceNumber": "1"}',
    '{"stringValue": "\\ud800"}', '{"timestamp": "yesterday"}', '{"timestamp": "2023-02-29T00:00:00Z"}',
    '{"timestamp": "2023-01-01T00:00:00"}', '{"timestamp": "10000-01-01T00:00:00Z"}', '{"timestamp": 1}',
    '{"duration": "1"}', '{"duration": "315576000001s"}', '{"duration": "xs"}', '{"duration": 1}',
    '{"any": {"name": "x"}}', '{"any": {"@type": "type.googleapis.com/no.Such"}}', '{"any": 1}',
    '{"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "x"}}',
    '{"int32Wrapper": "x"}', '{"empty": 1}', '{"empty": {"a": 1}}',
])
def test_both_refuse(text, convert, pb):
    with pytest.raises(Refused) as refusal:
        convert("w", text.encode())
    assert str(refusal.value)
    with pytest.raises(json_format.ParseError):
        json_format.Parse(text, pb.EveryField())


@pytest.mark.parametrize("text", [
    "[]", '{"leaf": []}', '{"int32Value": 1, "int32_value": 2}', '{"color": 1.5}', '{"bytesValue": "A*I="}',
    '{"bytesValue": "AQI=="}', '{"color": "1"}', '{"stringValue": "a\\u0000b"}', '{"int32Value": "1 "}',
    '{"doubleValue": "inf"}', '{"timestamp": "2023-01-01T00:00:00.1234567890Z"}',
])
def test_we_refuse_what_python_lets_pass(text, convert):
    with pytest.raises(Refused):
        convert("w", text.encode())


def test_unknown_fields_are_ignored_on_request(convert, pb):
    text = '{"what": [1], "leaf": {"x": {}, "number": 2}, "color": "PINK", "colors": ["COLOR_RED", "PINK"]}'
    ours = pb.EveryField.FromString(convert("i", text.encode()))
    assert same(ours, json_format.Parse(text, pb.EveryField(), ignore_unknown_fields=True))
