"""Reflection and health, asked by grpcio's own clients."""

import signal

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from installation import Installation
from rpc_server import running

ECHO = "buddy.testing.v1.Echo"
V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
V1ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def server():
    with running("rpc-echo-server") as program:
        yield program


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.address) as channel:
        yield channel


def pool_of(channel):
    """What is known of the server, from the server alone: no generated module is asked."""
    return descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def call(channel, pool, path, **fields):
    """Calls a unary method, `package.Service/Name`, by its descriptor."""
    service, method = path.split("/")
    descriptor = pool.FindServiceByName(service).FindMethodByName(method)
    request = message_factory.GetMessageClass(descriptor.input_type)
    response = message_factory.GetMessageClass(descriptor.output_type)
    invoke = channel.unary_unary(
        f"/{path}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    return invoke(request(**fields), timeout=30)


def ask(channel, path, *requests):
    """The same messages on either version's path: they are the same on the wire."""
    stream = channel.stream_stream(
        path,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(stream(iter(requests), timeout=30))


def test_a_method_that_only_reflection_knows_is_called(channel):
    assert call(channel, pool_of(channel), f"{ECHO}/Say", text="found").text == "found"


def test_every_service_can_be_described(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = list(database.get_services())
    assert services == sorted(services)
    assert {ECHO, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} < set(services)
    pool = descriptor_pool.DescriptorPool(database)
    for service in services:
        for method in pool.FindServiceByName(service).methods:
            assert method.input_type.full_name and method.output_type.full_name


def test_types_are_found_by_every_kind_of_name(channel):
    pool = pool_of(channel)
    assert pool.FindMessageTypeByName("buddy.testing.v1.EveryField").fields_by_name["leaf"].message_type.name == "Leaf"
    assert pool.FindEnumTypeByName("buddy.testing.v1.Color").values_by_name["COLOR_RED"].number == 1
    assert pool.FindFileByName("buddy/testing/v1/testing.proto").package == "buddy.testing.v1"
    for unknown in [lambda: pool.FindFileByName("none.proto"), lambda: pool.FindMessageTypeByName("none.None")]:
        with pytest.raises(KeyError):
            unknown()


@pytest.mark.parametrize("path", [V1, V1ALPHA])
def test_both_versions_answer_alike(channel, path):
    request = reflection_pb2.ServerReflectionRequest
    answers = ask(
        channel,
        path,
        request(list_services=""),
        request(file_containing_symbol=f"{ECHO}.Say"),
        request(file_by_filename="none.proto"),
        request(all_extension_numbers_of_type="buddy.testing.v1.Leaf"),
        request(host="h"),
    )
    kinds = [answer.WhichOneof("message_response") for answer in answers]
    assert kinds == [
        "list_services_response",
        "file_descriptor_response",
        "error_response",
        "all_extension_numbers_response",
        "error_response",
    ]
    assert [answers[2].error_response.error_code, answers[4].error_response.error_code] == [5, 3]
    assert answers[4].valid_host == "h" and answers[4].original_request.host == "h"
    # The imports come with the file: their names are in their descriptors.
    files = answers[1].file_descriptor_response.file_descriptor_proto
    assert any(b"google/protobuf/timestamp.proto" in file for file in files[1:])


def test_a_service_of_buddy_is_called_by_reflection():
    """A real service, of which the caller knows nothing but its address."""
    with Installation(services=["learning"]) as installation:
        with grpc.insecure_channel(installation.address("learning")) as channel:
            services = ProtoReflectionDescriptorDatabase(channel).get_services()
            assert {"buddy.learning.v1.Learning", "grpc.health.v1.Health"} < set(services)
            pool = pool_of(channel)
            fields = {"intent": "table.aggregate", "tools": ["data_analyze"]}
            answer = call(channel, pool, "buddy.learning.v1.Learning/GetMultipliers", **fields)
            assert [multiplier.tool for multiplier in answer.multipliers] == ["data_analyze"]
            health = call(channel, pool, "grpc.health.v1.Health/Check", service="buddy.learning.v1.Learning")
            assert health.status == 1


def test_health_is_watched_while_it_changes(server, channel):
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service=ECHO), timeout=60)
    assert next(watch).status == serving
    server.signal(signal.SIGHUP)
    assert next(watch).status == not_serving
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == serving
    server.signal(signal.SIGHUP)
    assert next(watch).status == serving
    watch.cancel()
    unknown = health.Watch(health_pb2.HealthCheckRequest(service="none"), timeout=60)
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()
    assert call(channel, pool_of(channel), "grpc.health.v1.Health/List").statuses[ECHO].status == serving
