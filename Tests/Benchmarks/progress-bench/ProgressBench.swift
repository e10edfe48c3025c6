@main
struct ProgressBench {
  static func main() {}
}
