/// Guesses what a file holds from the end of its name, as far as Buddy's tools care.
enum MediaType {
  static func forFile(named name: String) -> String {
    guard let dot = name.lastIndex(of: ".") else { return fallback }
    return known[name[name.index(after: dot)...].lowercased()] ?? fallback
  }

  private static let fallback = "application/octet-stream"
  private static let known = [
    "csv": "text/csv", "tsv": "text/tab-separated-values", "json": "application/json", "txt": "text/plain",
    "log": "text/plain", "md": "text/markdown", "html": "text/html", "htm": "text/html", "xml": "application/xml",
    "yaml": "application/yaml", "yml": "application/yaml", "pdf": "application/pdf", "png": "image/png",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml", "webp": "image/webp",
    "sqlite": "application/vnd.sqlite3", "db": "application/vnd.sqlite3", "zip": "application/zip",
    "gz": "application/gzip",
  ]
}
