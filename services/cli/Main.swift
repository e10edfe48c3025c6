import ArgumentParser
import Subprocess
import AsyncHTTPClient
@main enum Main { static func main() async {} }
