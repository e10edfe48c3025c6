"""gzip and metadata with grpcio: as a client of our server, and as a server for our client."""

import grpc
import pytest
from buddy.testing.v1 import testing_pb2, testing_pb2_grpc
from message_peer import TheirEcho, Wire, our_client, our_server, text, their_server

LONG = text(130_000)


@pytest.fixture(scope="module")
def wire():
    with our_server() as address, Wire(address) as wire:
        yield wire


@pytest.fixture
def stub(wire):
    """With a connection of its own, already made: what is counted from now on is the calls."""
    with grpc.insecure_channel(wire.address) as channel:
        stub = testing_pb2_grpc.EchoStub(channel)
        stub.Say(testing_pb2.EchoMessage(text="a"), timeout=30)
        wire.take()
        yield stub


@pytest.mark.parametrize("asked", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("answered", [False, True])
def test_unary(wire, stub, asked, answered):
    metadata = [("x-compress", "1")] if answered else []
    assert stub.Say(LONG, compression=asked, metadata=metadata, timeout=30) == LONG
    up, down = wire.take()
    assert (up < 10_000) == (asked == grpc.Compression.Gzip)
    assert (down < 10_000) == answered
    told = stub.Say(LONG, compression=asked, metadata=[("x-tell", "1")], timeout=30).text
    assert told == ("true" if asked == grpc.Compression.Gzip else "false")


def test_an_algorithm_we_do_not_have(stub):
    with pytest.raises(grpc.RpcError) as error:
        stub.Say(LONG, compression=grpc.Compression.Deflate, timeout=30)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert stub.Say(LONG, timeout=30) == LONG


def test_messages_of_a_stream_choose_for_themselves(wire, stub):
    request = testing_pb2.ExpandRequest(text=LONG.text, count=4)
    assert list(stub.Expand(request, metadata=[("x-compress", "1")], timeout=30)) == [LONG] * 4
    _, down = wire.take()
    assert 260_000 <= down < 280_000  # two of four
    assert list(stub.Expand(request, timeout=30)) == [LONG] * 4
    _, down = wire.take()
    assert down > 520_000


def test_requests_of_a_stream(stub):
    requests = [LONG, testing_pb2.EchoMessage(text="a"), LONG]
    told = stub.Collect(iter(requests), compression=grpc.Compression.Gzip, timeout=30).text
    assert told.startswith("130000 true, 1 ") and told.endswith(", 130000 true")
    assert stub.Collect(iter(requests), timeout=30).text == "130000 false, 1 false, 130000 false"


def test_a_conversation(stub):
    for compression in [grpc.Compression.Gzip, grpc.Compression.NoCompression]:
        messages = [text(length) for length in (0, 13, 130_000, 13)]
        answers = stub.Chat(iter(messages), compression=compression, metadata=[("x-compress", "1")], timeout=30)
        assert list(answers) == messages


def test_metadata_of_their_client(stub):
    everything = bytes(range(256))
    metadata = [
        ("x-echo-text", "a b ~!\"#$%&'()*+,-./:;<=>?@[]^_`{|}"),
        ("x-echo-twice", "1"),
        ("x-echo-twice", "2"),
        ("x-echo-empty", ""),
        ("x-echo-bytes-bin", everything),
        ("x-echo-bytes-bin", b""),
        ("x-echo-bytes-bin", b"\x01"),
    ]
    _, call = stub.Say.with_call(testing_pb2.EchoMessage(text="a"), metadata=metadata, timeout=30)
    for part in (call.initial_metadata(), call.trailing_metadata()):
        assert [(name, value) for name, value in part if name.startswith("x-echo-")] == metadata
    trailing = call.trailing_metadata()
    seen = [value for name, value in trailing if name == "x-seen-bytes"]
    assert seen == [" ".join(str(byte) for byte in everything), "", "1"]
    assert dict(trailing)["x-seen-agent"].startswith("grpc-python/")
    assert dict(trailing)["x-seen-method"] == "buddy.testing.v1.Echo Say"


def test_too_much_metadata(stub):
    with pytest.raises(grpc.RpcError) as error:
        stub.Say(LONG, metadata=[("x-long", "v" * 17_000)], timeout=30)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as error:
        stub.Say(LONG, metadata=[("x-trailer-bytes", "20000")], timeout=30)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.Say(LONG, timeout=30) == LONG


class MirroringEcho(TheirEcho):
    """Say sends metadata back, and fails as the metadata asks."""

    def Say(self, request, context):
        asked = context.invocation_metadata()
        echoed = [(name, value) for name, value in asked if name.startswith("x-echo-")]
        wish = dict(asked).get("x-fail")
        if wish:
            self.fail(wish, context)
        context.send_initial_metadata(echoed)
        context.set_trailing_metadata(echoed + [("x-seen-agent", dict(asked)["user-agent"])])
        return request

    def fail(self, wish, context):
        if wish == "long-trailer":
            context.set_trailing_metadata([("x-long", "v" * 17_000)])
        elif wish == "long-initial":
            context.send_initial_metadata([("x-long", "v" * 17_000)])
        elif wish == "malformed":
            context.set_trailing_metadata([("grpc-status-details-bin", b"\xff\x01\x02")])
        context.abort(grpc.StatusCode.ABORTED, "é%")


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_our_client(compression):
    with their_server(MirroringEcho(), compression=compression) as port, Wire(f"127.0.0.1:{port}") as wire:
        said = our_client(wire.port)
    packs = compression == grpc.Compression.Gzip
    word = "true" if packs else "false"
    for kind in ["plain", "gzip"]:
        assert said[f"say {kind}"] == f"true compressed {word}"
        assert said[f"expand {kind}"] == f"[{word}, false, {word}, false]"
        assert said[f"collect {kind}"] == "true"
        assert said[f"chat {kind}"] == "3"
    for part in ["initial", "trailing"]:
        assert said[part] == '["a b ~", "1+2", ""] [256, 0, 1] true'
    assert said["agent"] == "message-peer/1 buddy-rpc/1.0"
    # Sent without compression: one message of 130,000 bytes each to Say, Expand and Chat, four to Collect; with it, two
    # of those to Collect.
    assert 9 * 130_000 < wire.to_server < 9 * 130_000 + 50_000


def test_what_their_server_fails_with():
    with their_server(MirroringEcho()) as port:
        said = our_client(port)
    assert said["only"] == "ABORTED é%||none|0"
    assert said["malformed"] == "ABORTED é%||none|0"
    assert said["long-trailer"].startswith("RESOURCE_EXHAUSTED")
    assert said["long-initial"].startswith("RESOURCE_EXHAUSTED")
