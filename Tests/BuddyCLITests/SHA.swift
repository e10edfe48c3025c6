import Crypto
import ServiceKit

@testable import BuddyCLI

enum SHA {
  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    SHA256.hash(data: Array(bytes)).hexadecimal
  }
}
