import NIOCore

@testable import RPC

extension Client {
  /// Something about the channel, read where it lives.
  func look<Value: Sendable>(_ read: @escaping @Sendable (ClientChannel) -> Value) async throws -> Value {
    let channel = channel
    return try await channel.loop.submit { read(channel) }.get()
  }
}
