// The peer our client is measured against: unary calls with a completion queue and one thread, gRPC C++'s leanest way.
// Arguments: port, connections, calls outstanding on each, calls in all. Prints calls a second.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "buddy/testing/v1/testing.grpc.pb.h"

using buddy::testing::v1::Echo;
using buddy::testing::v1::EchoMessage;

static const char kText[] = "hello";

// One call at a time, again and again.
struct Lane {
  Echo::Stub* stub;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<EchoMessage>> reader;
  EchoMessage request, response;
  grpc::Status status;

  void Start(grpc::CompletionQueue* queue) {
    response.Clear();
    context = std::make_unique<grpc::ClientContext>();
    request.set_text(kText);
    reader = stub->AsyncSay(context.get(), request, queue);
    reader->Finish(&response, &status, this);
  }
};

int main(int argc, char** argv) {
  if (argc != 5) return 64;
  const std::string address = std::string("127.0.0.1:") + argv[1];
  const int connections = std::stoi(argv[2]), outstanding = std::stoi(argv[3]), calls = std::stoi(argv[4]);
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Echo::Stub>> stubs;
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < connections; i++) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else all channels share one connection
    auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(5))) return 69;
    stubs.push_back(Echo::NewStub(channel));
    for (int j = 0; j < outstanding; j++) {
      lanes.push_back(std::make_unique<Lane>());
      lanes.back()->stub = stubs.back().get();
    }
  }
  const auto start = std::chrono::steady_clock::now();
  int started = 0;
  for (auto& lane : lanes) {
    lane->Start(&queue);
    started++;
  }
  void* tag;
  bool ok;
  for (int done = 0; done < calls; done++) {
    if (!queue.Next(&tag, &ok)) return 70;
    auto* lane = static_cast<Lane*>(tag);
    if (!ok || !lane->status.ok() || lane->response.text() != kText) {
      std::cerr << "a call failed: " << lane->status.error_message() << std::endl;
      return 70;
    }
    if (started < calls) {
      lane->Start(&queue);
      started++;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << calls / seconds.count() << " calls/s" << std::endl;
}
