import Configuration
import ServiceLifecycle
import Logging
import NIOPosix
