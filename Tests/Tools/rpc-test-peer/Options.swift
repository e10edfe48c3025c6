import RPC

extension ServerOptions {
  static var numbers: [String: WritableKeyPath<ServerOptions, Int>] { [
    "maximumRequestBytes": \.maximumRequestBytes, "maximumResponseBytes": \.maximumResponseBytes,
    "maximumStreams": \.maximumStreams, "maximumHandlers": \.maximumHandlers,
    "maximumConnections": \.maximumConnections, "maximumMetadataBytes": \.maximumMetadataBytes,
    "maximumMetadataEntries": \.maximumMetadataEntries, "streamWindow": \.streamWindow,
    "connectionWindow": \.connectionWindow, "resetBurst": \.resetBurst, "resetsPerSecond": \.resetsPerSecond,
    "maximumProvokedResets": \.maximumProvokedResets, "pingStrikes": \.pingStrikes,
    "settingsPerMinute": \.settingsPerMinute, "maximumIdleFrames": \.maximumIdleFrames,
    "maximumConnectionsPerPeer": \.maximumConnectionsPerPeer, "maximumBufferedBytes": \.maximumBufferedBytes,
    "minimumReadRate": \.minimumReadRate,
  ] }

  static var times: [String: WritableKeyPath<ServerOptions, Duration>] { [
    "minimumPingInterval": \.minimumPingInterval, "handshakeTimeout": \.handshakeTimeout,
    "writeStallTimeout": \.writeStallTimeout, "requestTimeout": \.requestTimeout,
  ] }
}

extension ClientOptions {
  static var numbers: [String: WritableKeyPath<ClientOptions, Int>] { [
    "maximumResponseBytes": \.maximumResponseBytes, "maximumMetadataBytes": \.maximumMetadataBytes,
  ] }

  static var times: [String: WritableKeyPath<ClientOptions, Duration>] { ["connectTimeout": \.connectTimeout] }
}
