import RPC
import Synchronization

/// Clients of one service for calls that stay open: watches, long polls, uploads and downloads.
///
/// A server takes a bounded number of calls on one connection (100, as gRPC servers do), and calls over that wait for
/// others to end, which a watch does not. So each connection carries few of them, and as many are made as it takes;
/// short calls go over a connection of their own and are never stuck behind.
final class StreamClients: Sendable {
  /// Calls on one connection. Below what servers allow, for a call that was given up may not have ended there yet.
  static let callsPerClient = 64

  private struct Member {
    let client: Client
    var calls = 0
  }

  private let make: @Sendable () -> Client
  private let members = Mutex<[Member]>([])

  init(_ make: @escaping @Sendable () -> Client) {
    self.make = make
  }

  /// A client with room for one more call, which lasts until the lease is dropped.
  func lease() -> Lease {
    members.withLock { members in
      if let index = members.firstIndex(where: { $0.calls < Self.callsPerClient }) {
        members[index].calls += 1
        return Lease(clients: self, client: members[index].client)
      }
      let client = make()
      members.append(Member(client: client, calls: 1))
      return Lease(clients: self, client: client)
    }
  }

  /// How many connections there are at the most.
  var count: Int { members.withLock { $0.count } }

  /// One client stays for the next call; others go when their last call does.
  private func release(_ client: Client) {
    members.withLock { members in
      guard let index = members.firstIndex(where: { $0.client === client }) else { return }
      members[index].calls -= 1
      if members[index].calls == 0, members.count > 1 { members.remove(at: index) }
    }
  }

  final class Lease: Sendable {
    let client: Client
    private let clients: StreamClients

    fileprivate init(clients: StreamClients, client: Client) {
      self.clients = clients
      self.client = client
    }

    deinit { clients.release(client) }
  }
}
