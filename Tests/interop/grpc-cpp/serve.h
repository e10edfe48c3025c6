// What the servers for tests and benchmarks share beside their service.
#pragma once

#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

inline std::string Content(const char* path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

// Prints the port it listens on and serves until it is killed. Arguments: none, or a certificate and its key (PEM
// files) for TLS.
inline int Serve(grpc::Service* service, int argc, char** argv) {
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (argc == 3) {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({Content(argv[2]), Content(argv[1])});
    credentials = grpc::SslServerCredentials(options);
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  builder.RegisterService(service);
  auto server = builder.BuildAndStart();
  std::cout << "listening on " << port << std::endl;
  server->Wait();
  return 0;
}
