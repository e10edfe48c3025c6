extension ProgressClient {
  /// In the initial metadata of `WatchAll`: the position that the watch begins after.
  public static let positionKey = "buddy-position"
}
