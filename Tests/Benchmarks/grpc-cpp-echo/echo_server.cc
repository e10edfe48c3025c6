// The peer our server is measured against: the same Echo service with gRPC C++'s callback API, its fastest.
// Prints its port and serves until it is killed.
#include <grpcpp/grpcpp.h>

#include <iostream>

#include "buddy/testing/v1/testing.grpc.pb.h"

using buddy::testing::v1::Echo;
using buddy::testing::v1::EchoMessage;

class EchoService final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const EchoMessage* request,
                                EchoMessage* response) override {
    response->set_text(request->text());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int main() {
  EchoService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  std::cout << "listening on " << port << std::endl;
  server->Wait();
}
