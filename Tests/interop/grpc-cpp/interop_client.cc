// The client of gRPC's interoperability tests with gRPC C++ (grpc/doc/interop-test-descriptions.md, "Client").
//   interop_client PORT CASE [ROOTS]   with TLS where the PEM file of a CA is given
// Exits with 0 if the case passed, with 1 and the line that failed if it did not.
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#include "grpc/testing/test.grpc.pb.h"
#include "message_flags.h"

using namespace grpc::testing;
using grpc::ClientContext;
using grpc::Status;
using grpc::StatusCode;

#define CHECK(condition)                                                        \
  if (!(condition)) {                                                           \
    std::cerr << "line " << __LINE__ << ": " << #condition << " is not so\n"; \
    std::exit(1);                                                               \
  }

namespace {

const int kLargeRequest = 271828;
const int kLargeResponse = 314159;
const char kInitial[] = "x-grpc-test-echo-initial";
const char kTrailing[] = "x-grpc-test-echo-trailing-bin";
std::unique_ptr<TestService::Stub> stub;
std::shared_ptr<grpc::Channel> channel;

SimpleRequest LargeRequest() {
  SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(std::string(kLargeRequest, '\0'));
  return request;
}

StreamingOutputCallRequest StreamRequest(int payload, const std::vector<int>& sizes) {
  StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(std::string(payload, '\0'));
  for (int size : sizes) request.add_response_parameters()->set_size(size);
  return request;
}

bool IsLarge(const SimpleResponse& response) { return response.payload().body() == std::string(kLargeResponse, '\0'); }

void EmptyUnary() {
  ClientContext context;
  Empty response;
  CHECK(stub->EmptyCall(&context, Empty(), &response).ok());
}

void LargeUnary() {
  ClientContext context;
  SimpleResponse response;
  CHECK(stub->UnaryCall(&context, LargeRequest(), &response).ok() && IsLarge(response));
}

void ClientStreaming() {
  ClientContext context;
  StreamingInputCallResponse response;
  auto writer = stub->StreamingInputCall(&context, &response);
  for (int size : {27182, 8, 1828, 45904}) {
    StreamingInputCallRequest request;
    request.mutable_payload()->set_body(std::string(size, '\0'));
    CHECK(writer->Write(request));
  }
  writer->WritesDone();
  CHECK(writer->Finish().ok() && response.aggregated_payload_size() == 74922);
}

void ServerStreaming() {
  ClientContext context;
  const std::vector<int> sizes = {31415, 9, 2653, 58979};
  auto reader = stub->StreamingOutputCall(&context, StreamRequest(0, sizes));
  StreamingOutputCallResponse response;
  for (int size : sizes) CHECK(reader->Read(&response) && int(response.payload().body().size()) == size);
  CHECK(!reader->Read(&response) && reader->Finish().ok());
}

void PingPong() {
  ClientContext context;
  auto stream = stub->FullDuplexCall(&context);
  const std::vector<std::pair<int, int>> turns = {{27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}};
  StreamingOutputCallResponse response;
  for (auto [payload, size] : turns) {
    CHECK(stream->Write(StreamRequest(payload, {size})));
    CHECK(stream->Read(&response) && int(response.payload().body().size()) == size);
  }
  stream->WritesDone();
  CHECK(!stream->Read(&response) && stream->Finish().ok());
}

void HalfDuplex() {
  ClientContext context;
  auto stream = stub->HalfDuplexCall(&context);
  CHECK(stream->Write(StreamRequest(8, {31415, 9})) && stream->Write(StreamRequest(8, {2653})));
  stream->WritesDone();
  StreamingOutputCallResponse response;
  for (int size : {31415, 9, 2653}) CHECK(stream->Read(&response) && int(response.payload().body().size()) == size);
  CHECK(!stream->Read(&response) && stream->Finish().ok());
}

void EmptyStream() {
  ClientContext context;
  auto stream = stub->FullDuplexCall(&context);
  stream->WritesDone();
  StreamingOutputCallResponse response;
  CHECK(!stream->Read(&response) && stream->Finish().ok());
}

void TimeoutOnSleepingServer() {
  ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
  auto stream = stub->FullDuplexCall(&context);
  stream->Write(StreamRequest(27182, {}));
  StreamingOutputCallResponse response;
  CHECK(!stream->Read(&response) && stream->Finish().error_code() == StatusCode::DEADLINE_EXCEEDED);
}

void CancelAfterBegin() {
  ClientContext context;
  StreamingInputCallResponse response;
  auto writer = stub->StreamingInputCall(&context, &response);
  context.TryCancel();
  CHECK(writer->Finish().error_code() == StatusCode::CANCELLED);
}

void CancelAfterFirstResponse() {
  ClientContext context;
  auto stream = stub->FullDuplexCall(&context);
  CHECK(stream->Write(StreamRequest(27182, {31415})));
  StreamingOutputCallResponse response;
  CHECK(stream->Read(&response) && response.payload().body().size() == 31415);
  context.TryCancel();
  CHECK(stream->Finish().error_code() == StatusCode::CANCELLED);
}

void StatusWithMessage(const std::string& message) {
  ClientContext unary, streaming;
  SimpleRequest request;
  request.mutable_response_status()->set_code(2);
  request.mutable_response_status()->set_message(message);
  SimpleResponse response;
  Status status = stub->UnaryCall(&unary, request, &response);
  CHECK(status.error_code() == StatusCode::UNKNOWN && status.error_message() == message);

  auto stream = stub->FullDuplexCall(&streaming);
  StreamingOutputCallRequest wanted;
  *wanted.mutable_response_status() = request.response_status();
  CHECK(stream->Write(wanted));
  stream->WritesDone();
  StreamingOutputCallResponse ignored;
  CHECK(!stream->Read(&ignored));
  status = stream->Finish();
  CHECK(status.error_code() == StatusCode::UNKNOWN && status.error_message() == message);
}

template <class Map>
bool Has(const Map& metadata, const std::string& key, const std::string& value) {
  auto found = metadata.find(key);
  return found != metadata.end() && std::string(found->second.data(), found->second.size()) == value;
}

bool HasEchoes(const ClientContext& context) {
  return Has(context.GetServerInitialMetadata(), kInitial, "test_initial_metadata_value") &&
         Has(context.GetServerTrailingMetadata(), kTrailing, "\xab\xab\xab");
}

void CustomMetadata() {
  ClientContext unary, streaming;
  for (ClientContext* context : {&unary, &streaming}) {
    context->AddMetadata(kInitial, "test_initial_metadata_value");
    context->AddMetadata(kTrailing, "\xab\xab\xab");
  }
  SimpleResponse response;
  CHECK(stub->UnaryCall(&unary, LargeRequest(), &response).ok() && IsLarge(response) && HasEchoes(unary));

  auto stream = stub->FullDuplexCall(&streaming);
  CHECK(stream->Write(StreamRequest(kLargeRequest, {kLargeResponse})));
  stream->WritesDone();
  StreamingOutputCallResponse part;
  CHECK(stream->Read(&part) && !stream->Read(&part) && stream->Finish().ok() && HasEchoes(streaming));
}

void UnimplementedMethod() {
  ClientContext context;
  Empty response;
  CHECK(stub->UnimplementedCall(&context, Empty(), &response).error_code() == StatusCode::UNIMPLEMENTED);
}

void UnimplementedServiceCase() {
  ClientContext context;
  Empty response;
  auto other = UnimplementedService::NewStub(channel);
  CHECK(other->UnimplementedCall(&context, Empty(), &response).error_code() == StatusCode::UNIMPLEMENTED);
}

void ClientCompressedUnary() {
  SimpleRequest request = LargeRequest();
  SimpleResponse response;
  request.mutable_expect_compressed()->set_value(true);
  ClientContext probe;
  probe.set_compression_algorithm(GRPC_COMPRESS_NONE);
  CHECK(stub->UnaryCall(&probe, request, &response).error_code() == StatusCode::INVALID_ARGUMENT);
  for (bool compressed : {true, false}) {
    ClientContext context;
    context.set_compression_algorithm(compressed ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE);
    request.mutable_expect_compressed()->set_value(compressed);
    CHECK(stub->UnaryCall(&context, request, &response).ok() && IsLarge(response));
  }
}

void ServerCompressedUnary() {
  for (bool compressed : {true, false}) {
    ClientContext context;
    SimpleRequest request = LargeRequest();
    request.mutable_response_compressed()->set_value(compressed);
    SimpleResponse response;
    CHECK(stub->UnaryCall(&context, request, &response).ok() && IsLarge(response));
    CHECK(InteropClientContextInspector(context).WasCompressed() == compressed);
  }
}

void ClientCompressedStreaming() {
  StreamingInputCallRequest request;
  StreamingInputCallResponse response;
  request.mutable_expect_compressed()->set_value(true);
  request.mutable_payload()->set_body(std::string(27182, '\0'));
  ClientContext probe, context;
  probe.set_compression_algorithm(GRPC_COMPRESS_NONE);
  auto probing = stub->StreamingInputCall(&probe, &response);
  probing->Write(request);
  probing->WritesDone();
  CHECK(probing->Finish().error_code() == StatusCode::INVALID_ARGUMENT);

  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  auto writer = stub->StreamingInputCall(&context, &response);
  CHECK(writer->Write(request));
  request.mutable_expect_compressed()->set_value(false);
  request.mutable_payload()->set_body(std::string(45904, '\0'));
  CHECK(writer->Write(request, grpc::WriteOptions().set_no_compression()));
  writer->WritesDone();
  CHECK(writer->Finish().ok() && response.aggregated_payload_size() == 73086);
}

void ServerCompressedStreaming() {
  StreamingOutputCallRequest request = StreamRequest(0, {31415, 92653});
  request.mutable_response_parameters(0)->mutable_compressed()->set_value(true);
  request.mutable_response_parameters(1)->mutable_compressed()->set_value(false);
  ClientContext context;
  auto reader = stub->StreamingOutputCall(&context, request);
  StreamingOutputCallResponse response;
  for (const auto& wanted : request.response_parameters()) {
    CHECK(reader->Read(&response) && int(response.payload().body().size()) == wanted.size());
    CHECK(InteropClientContextInspector(context).WasCompressed() == wanted.compressed().value());
  }
  CHECK(!reader->Read(&response) && reader->Finish().ok());
}

const std::map<std::string, std::function<void()>> kCases = {
    {"empty_unary", EmptyUnary},
    {"large_unary", LargeUnary},
    {"client_streaming", ClientStreaming},
    {"server_streaming", ServerStreaming},
    {"ping_pong", PingPong},
    {"half_duplex", HalfDuplex},
    {"empty_stream", EmptyStream},
    {"timeout_on_sleeping_server", TimeoutOnSleepingServer},
    {"cancel_after_begin", CancelAfterBegin},
    {"cancel_after_first_response", CancelAfterFirstResponse},
    {"status_code_and_message", [] { StatusWithMessage("test status message"); }},
    {"special_status_message",
     [] { StatusWithMessage("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"); }},
    {"custom_metadata", CustomMetadata},
    {"unimplemented_method", UnimplementedMethod},
    {"unimplemented_service", UnimplementedServiceCase},
    {"client_compressed_unary", ClientCompressedUnary},
    {"server_compressed_unary", ServerCompressedUnary},
    {"client_compressed_streaming", ClientCompressedStreaming},
    {"server_compressed_streaming", ServerCompressedStreaming},
};

}  // namespace

int main(int argc, char** argv) {
  auto test = argc < 3 ? kCases.end() : kCases.find(argv[2]);
  if (test == kCases.end()) {
    std::cerr << "usage: interop_client PORT CASE [ROOTS]\n";
    return 64;
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (argc == 4) {
    std::stringstream roots;
    roots << std::ifstream(argv[3]).rdbuf();
    credentials = grpc::SslCredentials({roots.str(), "", ""});
  }
  channel = grpc::CreateChannel(std::string(argc == 4 ? "localhost:" : "127.0.0.1:") + argv[1], credentials);
  stub = TestService::NewStub(channel);
  test->second();
}
