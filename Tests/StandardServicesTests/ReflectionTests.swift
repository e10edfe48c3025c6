import Messages
import RPC
import Stubs
import TestSupport
import Testing

@testable import StandardServices

@Suite(.timeLimit(.minutes(2))) struct ReflectionTests {
  private typealias Request = GrpcReflectionV1ServerReflectionRequest
  private typealias Question = GrpcReflectionV1ServerReflectionRequest.MessageRequest
  private typealias Response = GrpcReflectionV1ServerReflectionResponse

  private func withReflection(_ body: (Client) async throws -> Void) async throws {
    var router = Router()
    router.register(Health(services: []))
    router.register(Reflection(services: router.services))
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    try await body(client)
    await client.close()
    await server.shutdown(grace: .zero)
  }

  /// The answers to these questions, on one stream.
  private func ask(_ client: Client, _ questions: [Question?]) async throws -> [Response] {
    try await GrpcReflectionV1ServerReflectionClient(client).serverReflectionInfo { requests, responses in
      var answers: [Response] = []
      var iterator = responses.makeAsyncIterator()
      for question in questions {
        try await requests.write(Request(host: "here", messageRequest: question))
        answers.append(try #require(try await iterator.next()))
      }
      requests.finish()
      #expect(try await iterator.next() == nil)
      return answers
    }
  }

  private func names(_ response: Response) throws -> [String] {
    guard case .fileDescriptorResponse(let files) = response.messageResponse else { return [] }
    return try files.fileDescriptorProto.map { try DescriptorFile($0).name }
  }

  private func code(_ response: Response) -> Int32? {
    guard case .errorResponse(let error) = response.messageResponse else { return nil }
    return error.errorCode
  }

  @Test func namesThatAreTooLongAreRefused() async throws {
    try await withReflection { (client) async throws in
      let long = String(repeating: "x", count: Reflection.nameLimit)
      let answers = try await ask(client, [.fileByFilename(long), .fileContainingSymbol(long)])
      #expect(answers.map(code) == [5, 5])
      let tooLong: [Question] = [
        .fileByFilename(long + "x"), .fileContainingSymbol(long + "x"), .allExtensionNumbersOfType(long + "x"),
        .fileContainingExtension(.init(containingType: long + "x")), .listServices(long + "x"),
      ]
      for question in tooLong {
        let status = try await #require(throws: Status.self) { try await ask(client, [question]) }
        #expect(status.code == .invalidArgument)
      }
    }
  }

  @Test func theServicesAreListed() async throws {
    try await withReflection { (client) async throws in
      let answer = try await ask(client, [.listServices("")])[0]
      #expect(answer.validHost == "here")
      #expect(answer.originalRequest == Request(host: "here", messageRequest: .listServices("")))
      guard case .listServicesResponse(let list) = answer.messageResponse else {
        Issue.record("not a list: \(answer)")
        return
      }
      #expect(
        list.service.map(\.name) == [
          "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection",
        ])
    }
  }

  @Test func v1alphaIsTheSame() async throws {
    try await withReflection { (client) async throws in
      let request = GrpcReflectionV1alphaServerReflectionRequest(
        host: "there", messageRequest: .fileByFilename("google/protobuf/any.proto"))
      let answer = try await GrpcReflectionV1alphaServerReflectionClient(client).serverReflectionInfo {
        requests, responses in
        try await requests.write(request)
        requests.finish()
        var iterator = responses.makeAsyncIterator()
        return try await iterator.next()
      }
      #expect(answer?.originalRequest == request)
      guard case .fileDescriptorResponse(let files) = answer?.messageResponse else {
        Issue.record("no files: \(String(describing: answer))")
        return
      }
      let names = try files.fileDescriptorProto.map { try DescriptorFile($0).name }
      #expect(names == ["google/protobuf/any.proto"])
    }
  }

  @Test(arguments: [
    ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.HealthCheckRequest", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.HealthCheckRequest.service", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.HealthCheckResponse.NOT_SERVING", "grpc/health/v1/health.proto"),
    ("grpc.health.v1.HealthListResponse.StatusesEntry", "grpc/health/v1/health.proto"),
    ("grpc.reflection.v1.ServerReflectionRequest.message_request", "grpc/reflection/v1/reflection.proto"),
    ("buddy.testing.v1.COLOR_RED", "buddy/testing/v1/testing.proto"),
    ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
  ])
  func everyNameIsFound(symbol: String, file: String) async throws {
    try await withReflection { (client) async throws in
      let answers = try await ask(client, [.fileContainingSymbol(symbol), .fileByFilename(file)])
      for answer in answers { #expect(try names(answer).first == file) }
    }
  }

  /// A file comes with what it imports, which does not come again on the same stream.
  @Test func importsComeOnce() async throws {
    try await withReflection { (client) async throws in
      let (file, symbol) = ("buddy/progress/v1/progress.proto", "buddy.progress.v1.Progress")
      let answers = try await ask(client, [.fileByFilename(file), .fileContainingSymbol(symbol)])
      let first = try names(answers[0])
      #expect(first.first == file)
      #expect(Set(first).count == first.count)
      #expect(first.contains("google/protobuf/timestamp.proto"))
      let files = try descriptors
      let imported = Set(first.flatMap { files[$0]?.imports ?? [] })
      #expect(imported.isSubset(of: Set(first)))
      #expect(try names(answers[1]) == [file])
    }
  }

  private var descriptors: [String: DescriptorFile] {
    get throws {
      try Dictionary(
        uniqueKeysWithValues: Descriptors.files.map { text in
          let bytes = try #require(Base64.decode("\(text)".utf8))
          let file = try DescriptorFile(bytes)
          return (file.name, file)
        })
    }
  }

  @Test func whatIsNotThere() async throws {
    try await withReflection { (client) async throws in
      let extensions = GrpcReflectionV1ExtensionRequest(
        containingType: "google.protobuf.Timestamp", extensionNumber: 100)
      let answers = try await ask(
        client,
        [
          .fileByFilename("none.proto"), .fileContainingSymbol("none.None"), .fileContainingSymbol(""),
          .fileContainingSymbol("grpc.health"), .fileContainingExtension(extensions),
          .allExtensionNumbersOfType("none.None"), nil, .allExtensionNumbersOfType("google.protobuf.Timestamp"),
        ])
      #expect(answers.map(code) == [5, 5, 5, 5, 5, 5, 3, nil])
      #expect(
        answers.last?.messageResponse == .allExtensionNumbersResponse(.init(baseTypeName: "google.protobuf.Timestamp")))
    }
  }

  /// Nobody reads the answers: the questions have to wait, and so has memory.
  @Test func questionsWaitForTheirAnswersToBeRead() async throws {
    try await withReflection { (client) async throws in
      let count = 2_000
      let read = try await GrpcReflectionV1ServerReflectionClient(client).serverReflectionInfo { requests, responses in
        async let written: Void = {
          for _ in 0..<count {
            try await requests.write(
              Request(messageRequest: .fileContainingSymbol("buddy.progress.v1.Progress")))
          }
          requests.finish()
        }()
        var read = 0
        for try await _ in responses { read += 1 }
        try await written
        return read
      }
      #expect(read == count)
    }
  }

  // MARK: - Descriptors

  @Test func everyServiceThatIsGeneratedIsDescribed() throws {
    let files = try descriptors
    let symbols = Set(files.values.flatMap(\.symbols))
    for path in [
      EchoMethods.say.path, GrpcHealthV1HealthMethods.list.path,
      GrpcReflectionV1alphaServerReflectionMethods.serverReflectionInfo.path,
    ] {
      let name = String(path.dropFirst()).replacing("/", with: ".")
      #expect(symbols.contains(name))
    }
    for file in files.values { for name in file.imports { #expect(files[name] != nil, "\(file.name) needs \(name)") } }
  }

  @Test func malformedDescriptorsAreRefused() throws {
    let good = try #require(try descriptors["grpc/health/v1/health.proto"]).bytes
    #expect(throws: DescriptorFile.Malformed.self) { try DescriptorFile([]) }
    #expect(throws: DescriptorFile.Malformed.self) { try DescriptorFile([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]) }
    #expect(throws: DescriptorFile.Malformed.self) { try DescriptorFile([0x0B]) }
    var random = SeededRandom()
    for _ in 0..<2_000 {
      var bytes = good
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      bytes.removeLast(Int.random(in: 0...3, using: &random))
      _ = try? DescriptorFile(bytes)  // throws or not, and ends
    }
  }

  @Test func aServerWithABrokenDescriptorSaysSo() async throws {
    var router = Router()
    router.register(Reflection(services: [], files: ["AAAA"]))
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    let error = try await #require(throws: Status.self) { _ = try await ask(client, [.listServices("")]) }
    #expect(error.code == .internalError)
    await client.close()
    await server.shutdown(grace: .zero)
  }
}
