public import Messages
import NIOCore
public import RPC

extension Codec where Message: ProtobufMessage {
  /// The binary form of a message. What cannot be decoded is the peer's fault, or this program's if it is encoding:
  /// the error says which limit or rule was broken.
  public static var protobuf: Codec {
    Codec(decode: { try Message(wire: $0) }, encode: { try $0.encode(into: &$1) })
  }
}
