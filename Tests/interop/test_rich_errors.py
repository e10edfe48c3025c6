"""Details of errors with grpcio-status, both ways."""

import grpc
import pytest
from buddy.testing.v1 import testing_pb2, testing_pb2_grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from message_peer import TheirEcho, our_client, our_server, their_server


@pytest.fixture(scope="module")
def stub():
    with our_server() as address, grpc.insecure_channel(address) as channel:
        yield testing_pb2_grpc.EchoStub(channel)


def failures(stub, wish="1"):
    """The same error of each kind of call."""
    message = testing_pb2.EchoMessage(text="a")
    metadata = [("x-fail", wish)]
    for call in [
        lambda: stub.Say(message, metadata=metadata, timeout=30),
        lambda: list(stub.Expand(testing_pb2.ExpandRequest(count=1), metadata=metadata, timeout=30)),
        lambda: stub.Collect(iter([message]), metadata=metadata, timeout=30),
        lambda: list(stub.Chat(iter([message]), metadata=metadata, timeout=30)),
    ]:
        with pytest.raises(grpc.RpcError) as error:
            call()
        yield error.value


def test_our_details_are_read_by_theirs(stub):
    for error in failures(stub):
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        status = rpc_status.from_call(error)  # which compares code and message with those of the trailers
        assert status.message == "no äpfel left"
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(info) and status.details[1].Unpack(retry)
        assert info.reason == "OUT_OF_STOCK" and info.domain == "shop.example" and info.metadata["item"] == "äpfel"
        assert retry.retry_delay.ToMilliseconds() == 1_500


def test_a_message_that_was_cut_is_the_same_in_the_details(stub):
    for error in failures(stub, "long"):
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        status = rpc_status.from_call(error)
        assert status.message.startswith("no äpfel left no") and len(status.message) > 500
        assert len(status.details) == 2


class DetailedEcho(TheirEcho):
    def Say(self, request, context):
        wish = dict(context.invocation_metadata()).get("x-fail")
        if wish is None:
            return request
        details = [any_pb2.Any(), any_pb2.Any()]
        details[0].Pack(error_details_pb2.ErrorInfo(reason="QUOTA", domain="shop.example"))
        details[1].Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2)))
        code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        status = status_pb2.Status(code=code, message="too much; é", details=details)
        context.abort_with_status(rpc_status.to_status(status))


def test_their_details_are_read_by_ours():
    with their_server(DetailedEcho()) as port:
        said = our_client(port)
    assert said["details"] == "RESOURCE_EXHAUSTED too much; é|QUOTA|2.0 seconds|2"
