// The peer our server is measured against: the same Echo service with gRPC C++'s callback API, its fastest.
// Prints its port and serves until it is killed. Arguments: none, or a certificate and its key (PEM files) for TLS.
#include <grpcpp/grpcpp.h>

#include "buddy/testing/v1/testing.grpc.pb.h"
#include "serve.h"

using buddy::testing::v1::Echo;
using buddy::testing::v1::EchoMessage;
using buddy::testing::v1::ExpandRequest;

// Writes one message after another; gRPC takes the next when it has taken the last.
class Expander final : public grpc::ServerWriteReactor<EchoMessage> {
 public:
  explicit Expander(const ExpandRequest& request) : left_(request.count()) {
    message_.set_text(request.text());
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      Next();
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (left_-- > 0) {
      StartWrite(&message_);  // with a buffer hint, streams of 1.51's callback API stall
    } else {
      Finish(grpc::Status::OK);
    }
  }
  EchoMessage message_;
  int left_;
};

class EchoService final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const EchoMessage* request,
                                EchoMessage* response) override {
    response->set_text(request->text());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<EchoMessage>* Expand(grpc::CallbackServerContext*, const ExpandRequest* request) override {
    return new Expander(*request);
  }
};

int main(int argc, char** argv) {
  EchoService service;
  return Serve(&service, argc, argv);
}
