"""Programs of the RPC part that print `listening on PORT`, as processes of a test."""

import contextlib
import os
import signal
import subprocess

from installation import BIN


class Program:
    def __init__(self, name, *arguments):
        self.process = subprocess.Popen([f"{BIN}/{name}", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(" ", 1)[1])
        self.address = f"127.0.0.1:{self.port}"

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def running(name, *arguments):
    """The program, until the end of the block; it has to end well when it is told to."""
    program = Program(name, *arguments)
    try:
        yield program
        if program.process.poll() is None:
            program.signal(signal.SIGTERM)
        assert program.wait() == 0
    finally:
        program.process.kill()
        program.process.wait()
