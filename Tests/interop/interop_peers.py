"""grpc.testing.TestService with grpcio: a server, and a client's cases (grpc/doc/interop-test-descriptions.md)."""

import concurrent.futures
import contextlib
import threading
import time

import grpc
from grpc.testing import empty_pb2, messages_pb2, test_pb2_grpc

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
LARGE_REQUEST = 271_828
LARGE_RESPONSE = 314_159


class TestService(test_pb2_grpc.TestServiceServicer):
    """Without CompressedRequest: grpcio does not tell how a message came."""

    __test__ = False

    def EmptyCall(self, request, context):
        echo_metadata(context)
        return request

    def UnaryCall(self, request, context):
        echo_metadata(context)
        echo_status(request, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        response = messages_pb2.SimpleResponse(payload=zeros(request.response_size))
        if request.fill_server_id:
            response.server_id = f"grpcio {id(self)}"
        return response

    def StreamingOutputCall(self, request, context):
        echo_metadata(context)
        yield from self.answer(request, context)

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return messages_pb2.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in requests:
            yield from self.answer(request, context)

    def HalfDuplexCall(self, requests, context):
        for request in list(requests):
            yield from self.answer(request, context)

    def answer(self, request, context):
        echo_status(request, context)
        if any(wanted.compressed.value for wanted in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for wanted in request.response_parameters:
            time.sleep(wanted.interval_us / 1e6)
            if not wanted.compressed.value:
                context.disable_next_message_compression()
            yield messages_pb2.StreamingOutputCallResponse(payload=zeros(wanted.size))


def zeros(size):
    return messages_pb2.Payload(body=bytes(size))


def echo_metadata(context):
    metadata = dict(context.invocation_metadata())
    if INITIAL in metadata:
        context.send_initial_metadata(((INITIAL, metadata[INITIAL]),))
    if TRAILING in metadata:
        context.set_trailing_metadata(((TRAILING, metadata[TRAILING]),))


def echo_status(request, context):
    if request.HasField("response_status"):
        codes = {code.value[0]: code for code in grpc.StatusCode}
        context.abort(codes[request.response_status.code], request.response_status.message)


@contextlib.contextmanager
def serve(credentials=None):
    """A server on a port of its own, which is what this gives."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
    test_pb2_grpc.add_TestServiceServicer_to_server(TestService(), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield port
    server.stop(None)


class Cases:
    """The client's cases: each takes a channel and asserts."""

    def __init__(self, channel):
        self.channel = channel
        self.stub = test_pb2_grpc.TestServiceStub(channel)

    def large_request(self, **fields):
        return messages_pb2.SimpleRequest(response_size=LARGE_RESPONSE, payload=zeros(LARGE_REQUEST), **fields)

    def stream_request(self, payload, sizes, **fields):
        parameters = [messages_pb2.ResponseParameters(size=size) for size in sizes]
        return messages_pb2.StreamingOutputCallRequest(
            response_parameters=parameters, payload=zeros(payload), **fields
        )

    def empty_unary(self):
        assert self.stub.EmptyCall(empty_pb2.Empty(), timeout=60) == empty_pb2.Empty()

    def large_unary(self, **fields):
        assert self.stub.UnaryCall(self.large_request(**fields), timeout=60).payload == zeros(LARGE_RESPONSE)

    def client_streaming(self):
        requests = (messages_pb2.StreamingInputCallRequest(payload=zeros(size)) for size in [27182, 8, 1828, 45904])
        assert self.stub.StreamingInputCall(requests, timeout=60).aggregated_payload_size == 74922

    def server_streaming(self):
        sizes = [31415, 9, 2653, 58979]
        responses = self.stub.StreamingOutputCall(self.stream_request(0, sizes), timeout=60)
        assert [response.payload for response in responses] == [zeros(size) for size in sizes]

    def ping_pong(self):
        turns = list(zip([27182, 8, 1828, 45904], [31415, 9, 2653, 58979]))
        answered = threading.Semaphore(1)

        def requests():
            for payload, size in turns:
                answered.acquire()
                yield self.stream_request(payload, [size])

        sizes = []
        for response in self.stub.FullDuplexCall(requests(), timeout=60):
            sizes.append(len(response.payload.body))
            answered.release()
        assert sizes == [size for _, size in turns]

    def half_duplex(self):
        requests = iter([self.stream_request(8, [31415, 9]), self.stream_request(8, [2653])])
        responses = self.stub.HalfDuplexCall(requests, timeout=60)
        assert [len(response.payload.body) for response in responses] == [31415, 9, 2653]

    def empty_stream(self):
        assert list(self.stub.FullDuplexCall(iter([]), timeout=60)) == []

    def timeout_on_sleeping_server(self):
        call = self.stub.FullDuplexCall(self.open_requests(self.stream_request(27182, [])), timeout=0.001)
        self.ends_with(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(call))

    def cancel_after_begin(self):
        call = self.stub.StreamingInputCall.future(self.open_requests())
        call.cancel()
        assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED

    def cancel_after_first_response(self):
        call = self.stub.FullDuplexCall(self.open_requests(self.stream_request(27182, [31415])))
        assert len(next(call).payload.body) == 31415
        call.cancel()
        self.ends_with(grpc.StatusCode.CANCELLED, lambda: next(call))

    def status_code_and_message(self, message="test status message"):
        wanted = messages_pb2.EchoStatus(code=2, message=message)
        request = messages_pb2.SimpleRequest(response_status=wanted)
        error = self.ends_with(grpc.StatusCode.UNKNOWN, lambda: self.stub.UnaryCall(request, timeout=60))
        assert error.details() == message
        requests = iter([self.stream_request(0, [], response_status=wanted)])
        error = self.ends_with(grpc.StatusCode.UNKNOWN, lambda: list(self.stub.FullDuplexCall(requests, timeout=60)))
        assert error.details() == message

    def special_status_message(self):
        self.status_code_and_message("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")

    def custom_metadata(self):
        metadata = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
        response, unary = self.stub.UnaryCall.with_call(self.large_request(), metadata=metadata, timeout=60)
        assert response.payload == zeros(LARGE_RESPONSE)
        requests = iter([self.stream_request(LARGE_REQUEST, [LARGE_RESPONSE])])
        stream = self.stub.FullDuplexCall(requests, metadata=metadata, timeout=60)
        assert len(list(stream)) == 1
        for call in [unary, stream]:
            assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
            assert dict(call.trailing_metadata())[TRAILING] == b"\xab\xab\xab"

    def unimplemented_method(self):
        call = lambda: self.stub.UnimplementedCall(empty_pb2.Empty(), timeout=60)
        self.ends_with(grpc.StatusCode.UNIMPLEMENTED, call)

    def unimplemented_service(self):
        stub = test_pb2_grpc.UnimplementedServiceStub(self.channel)
        call = lambda: stub.UnimplementedCall(empty_pb2.Empty(), timeout=60)
        self.ends_with(grpc.StatusCode.UNIMPLEMENTED, call)

    def server_compressed_unary(self):
        for compressed in [True, False]:
            self.large_unary(response_compressed=messages_pb2.BoolValue(value=compressed))

    def server_compressed_streaming(self):
        wanted = [
            messages_pb2.ResponseParameters(size=size, compressed=messages_pb2.BoolValue(value=compressed))
            for size, compressed in [(31415, True), (92653, False)]
        ]
        request = messages_pb2.StreamingOutputCallRequest(response_parameters=wanted)
        responses = self.stub.StreamingOutputCall(request, timeout=60)
        assert [response.payload for response in responses] == [zeros(31415), zeros(92653)]

    def client_compressed_unary(self):
        probe = self.large_request(expect_compressed=messages_pb2.BoolValue(value=True))
        error = self.ends_with(grpc.StatusCode.INVALID_ARGUMENT, lambda: self.stub.UnaryCall(probe, timeout=60))
        assert error.details()
        for compressed, compression in [(True, grpc.Compression.Gzip), (False, grpc.Compression.NoCompression)]:
            request = self.large_request(expect_compressed=messages_pb2.BoolValue(value=compressed))
            response = self.stub.UnaryCall(request, compression=compression, timeout=60)
            assert response.payload == zeros(LARGE_RESPONSE)

    def client_compressed_streaming(self):
        """grpcio compresses all messages of a call or none, so the two ways are two calls."""

        def call(size, expected, compression):
            expects = messages_pb2.BoolValue(value=expected)
            request = messages_pb2.StreamingInputCallRequest(payload=zeros(size), expect_compressed=expects)
            return self.stub.StreamingInputCall(iter([request]), compression=compression, timeout=60)

        none = grpc.Compression.NoCompression
        self.ends_with(grpc.StatusCode.INVALID_ARGUMENT, lambda: call(27182, True, none))
        assert call(27182, True, grpc.Compression.Gzip).aggregated_payload_size == 27182
        assert call(45904, False, none).aggregated_payload_size == 45904

    def open_requests(self, *requests):
        """These, and then no end of requests before the call's."""
        yield from requests
        threading.Event().wait(20)

    def ends_with(self, code, call):
        try:
            call()
        except grpc.RpcError as error:
            assert error.code() == code, error
            return error
        raise AssertionError(f"the call succeeded instead of ending with {code}")
