import CLibFuzzer
import FuzzTargets
import Glibc

/// `FUZZ_TARGET=wire fuzz [libFuzzer's options] CORPUS`: feeds one target until it breaks, or for as long as the
/// options say. A variable names the target because libFuzzer starts itself again, with its own arguments, for some
/// options.
@main
enum Runner {
  fileprivate static let target: FuzzTarget = {
    if let target = getenv("FUZZ_TARGET").flatMap({ FuzzTarget(rawValue: String(cString: $0)) }) { return target }
    print("FUZZ_TARGET must be one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(64)
  }()

  static func main() {
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(LLVMFuzzerRunDriver(&count, &arguments) { testOneInput($0, $1) })
  }
}

/// One input. libFuzzer's own `main`, which is linked along and not run, asks for it by this name.
@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  do {
    try Runner.target.run(Array(UnsafeBufferPointer(start: data, count: size)))
  } catch {
    fatalError("\(error)")  // the fuzzer takes it for the crash it is
  }
  return 0
}
