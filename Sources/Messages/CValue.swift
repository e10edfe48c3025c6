import CProtobufC

/// Copies values out of protobuf-c's structs. Generated code calls these.
enum CValue {
  /// The descriptor of a message, by way of its init function: Swift cannot take the address of a C constant.
  static func descriptor<C>(
    _ prepare: (UnsafeMutablePointer<C>?) -> Void
  ) -> UnsafePointer<ProtobufCMessageDescriptor> {
    withUnsafeTemporaryAllocation(of: C.self, capacity: 1) { c in
      prepare(c.baseAddress)
      // Every struct begins with a ProtobufCMessage, and `prepare` has set it.
      return UnsafeRawPointer(c.baseAddress.unsafelyUnwrapped).load(as: ProtobufCMessage.self).descriptor
    }
  }

  /// WireScan has checked that it is UTF-8.
  static func string(_ pointer: UnsafePointer<CChar>?) -> String {
    pointer.map { String(cString: $0) } ?? ""
  }

  static func bytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    Array(UnsafeBufferPointer(start: data.data, count: data.len))
  }

  static func message<M: NativeMessage>(_ pointer: UnsafeMutablePointer<M.C>?) -> M? {
    pointer.map { M(c: $0) }
  }

  static func list<T>(_ pointer: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
    Array(UnsafeBufferPointer(start: pointer, count: count))
  }

  static func list<T, U>(_ pointer: UnsafeMutablePointer<T>?, _ count: Int, _ transform: (T) -> U) -> [U] {
    UnsafeBufferPointer(start: pointer, count: count).map(transform)
  }

  static func messages<M: NativeMessage>(
    _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<M.C>?>?, _ count: Int
  ) -> [M] {
    UnsafeBufferPointer(start: pointer, count: count).compactMap { $0.map { M(c: $0) } }
  }

  /// Where a key comes twice, the last one counts.
  static func map<Entry, Key: Hashable, Value>(
    _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>?, _ count: Int,
    _ transform: (UnsafeMutablePointer<Entry>) -> (Key, Value)
  ) -> [Key: Value] {
    var result: [Key: Value] = [:]
    for entry in UnsafeBufferPointer(start: pointer, count: count) {
      guard let entry else { continue }
      let (key, value) = transform(entry)
      result[key] = value
    }
    return result
  }
}
