// grpc.testing.TestService with gRPC C++ (grpc/doc/interop-test-descriptions.md, "Server").
//   interop_server [CERTIFICATE KEY]   with TLS where these PEM files are given
// Prints the port it listens on and serves until it is killed.
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "grpc/testing/test.grpc.pb.h"
#include "message_flags.h"
#include "serve.h"

using namespace grpc::testing;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

namespace {

const char kInitial[] = "x-grpc-test-echo-initial";
const char kTrailing[] = "x-grpc-test-echo-trailing-bin";

void EchoMetadata(ServerContext* context) {
  const auto& metadata = context->client_metadata();
  auto initial = metadata.find(kInitial);
  if (initial != metadata.end()) {
    context->AddInitialMetadata(kInitial, {initial->second.data(), initial->second.size()});
  }
  auto trailing = metadata.find(kTrailing);
  if (trailing != metadata.end()) {
    context->AddTrailingMetadata(kTrailing, {trailing->second.data(), trailing->second.size()});
  }
}

template <class Request>
bool CameAsExpected(const ServerContext& context, const Request& request) {
  return !request.has_expect_compressed() ||
         request.expect_compressed().value() == InteropServerContextInspector(context).WasCompressed();
}

const Status kUnexpected(StatusCode::INVALID_ARGUMENT, "the request was not compressed as it says");

class TestServiceImpl final : public TestService::Service {
  Status EmptyCall(ServerContext* context, const Empty*, Empty*) override {
    EchoMetadata(context);
    return Status::OK;
  }

  Status UnaryCall(ServerContext* context, const SimpleRequest* request, SimpleResponse* response) override {
    EchoMetadata(context);
    if (!CameAsExpected(*context, *request)) return kUnexpected;
    if (request->has_response_status()) {
      return Status(StatusCode(request->response_status().code()), request->response_status().message());
    }
    bool compressed = request->response_compressed().value();
    context->set_compression_algorithm(compressed ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE);
    response->mutable_payload()->set_body(std::string(request->response_size(), '\0'));
    if (request->fill_server_id()) response->set_server_id("gRPC C++");
    return Status::OK;
  }

  Status StreamingOutputCall(ServerContext* context, const StreamingOutputCallRequest* request,
                             grpc::ServerWriter<StreamingOutputCallResponse>* writer) override {
    EchoMetadata(context);
    for (const auto& wanted : request->response_parameters()) {
      if (wanted.has_compressed()) context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    }
    return Answer(*request, writer);
  }

  Status StreamingInputCall(ServerContext* context, grpc::ServerReader<StreamingInputCallRequest>* reader,
                            StreamingInputCallResponse* response) override {
    EchoMetadata(context);
    StreamingInputCallRequest request;
    int size = 0;
    while (reader->Read(&request)) {
      if (!CameAsExpected(*context, request)) return kUnexpected;
      size += request.payload().body().size();
    }
    response->set_aggregated_payload_size(size);
    return Status::OK;
  }

  using Stream = grpc::ServerReaderWriter<StreamingOutputCallResponse, StreamingOutputCallRequest>;

  Status FullDuplexCall(ServerContext* context, Stream* stream) override {
    EchoMetadata(context);
    StreamingOutputCallRequest request;
    while (stream->Read(&request)) {
      Status status = Answer(request, stream);
      if (!status.ok()) return status;
    }
    return Status::OK;
  }

  Status HalfDuplexCall(ServerContext* context, Stream* stream) override {
    EchoMetadata(context);
    std::vector<StreamingOutputCallRequest> requests;
    StreamingOutputCallRequest next;
    while (stream->Read(&next)) requests.push_back(next);
    for (const auto& request : requests) {
      Status status = Answer(request, stream);
      if (!status.ok()) return status;
    }
    return Status::OK;
  }

  template <class Writer>
  Status Answer(const StreamingOutputCallRequest& request, Writer* writer) {
    if (request.has_response_status()) {
      return Status(StatusCode(request.response_status().code()), request.response_status().message());
    }
    for (const auto& wanted : request.response_parameters()) {
      std::this_thread::sleep_for(std::chrono::microseconds(wanted.interval_us()));
      StreamingOutputCallResponse response;
      response.mutable_payload()->set_body(std::string(wanted.size(), '\0'));
      grpc::WriteOptions options;
      if (!wanted.compressed().value()) options.set_no_compression();
      if (!writer->Write(response, options)) return Status(StatusCode::CANCELLED, "the caller went away");
    }
    return Status::OK;
  }
};

}  // namespace

int main(int argc, char** argv) {
  TestServiceImpl service;
  return Serve(&service, argc, argv);
}
