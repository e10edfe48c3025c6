import Messages

/// JSON of the gateway's messages. Fields that a newer gateway adds are passed over.
enum WireJSON {
  static func decode<Message: ProtobufMessage>(_ type: Message.Type, from bytes: [UInt8]) throws -> Message {
    do {
      return try ProtoJSON.decode(Message.self, from: bytes, options: .init(ignoreUnknownFields: true))
    } catch {
      throw CommandError.unexpected("the gateway's answer is not a \(Message.messageName): \(error)")
    }
  }

  static func encode(_ message: some ProtobufMessage) throws -> String {
    do {
      return try ProtoJSON.encode(message)
    } catch {
      throw CommandError.usage("the request cannot be written as JSON: \(error)")
    }
  }
}
