// How a message came, which gRPC C++ tells only its interoperability tests: by friends of its contexts with these
// names.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>

uint32_t grpc_call_test_only_get_message_flags(grpc_call* call);

namespace grpc {
namespace testing {

constexpr uint32_t kWasCompressed = 0x40000000u;  // GRPC_WRITE_INTERNAL_TEST_ONLY_WAS_COMPRESSED of its core

class InteropServerContextInspector {
 public:
  explicit InteropServerContextInspector(const ServerContext& context) : context_(context) {}
  bool WasCompressed() const {
    return (grpc_call_test_only_get_message_flags(context_.call_.call) & kWasCompressed) != 0;
  }

 private:
  const ServerContext& context_;
};

class InteropClientContextInspector {
 public:
  explicit InteropClientContextInspector(const ClientContext& context) : context_(context) {}
  bool WasCompressed() const {
    return (grpc_call_test_only_get_message_flags(context_.call_) & kWasCompressed) != 0;
  }

 private:
  const ClientContext& context_;
};

}  // namespace testing
}  // namespace grpc
