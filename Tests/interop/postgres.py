"""A PostgreSQL server of the tests' own, in a temporary folder, on a Unix socket."""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile

from installation import wait_until


def program(name):
    """The newest version under Debian's folder, else from the PATH."""
    own = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: int(path.split("/")[4]))
    found = own[-1] if own else shutil.which(name)
    assert found, f"{name} is not installed: run deploy/scripts/setup.sh test"
    return found


# PostgreSQL refuses to run as root, so then it runs as the user that its package made.
AS_SERVER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []


class Server:
    def __init__(self, folder):
        self.folder = folder

    def url(self, database="postgres"):
        return f"postgres://buddy@/{database}?host={self.folder}&port=5432"

    def sql(self, text, database="postgres"):
        command = [program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, self.url(database)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    def make_database(self, name):
        """The URL of a new one."""
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)


@contextlib.contextmanager
def serve():
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data = f"{folder}/data"
        initdb = [program("initdb"), "-D", data, "-U", "buddy", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run(AS_SERVER + initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        settings = {"unix_socket_directories": folder, "listen_addresses": "", "fsync": "off", "max_connections": "200"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(os.path.join(tempfile.gettempdir(), f"{os.path.basename(folder)}.log"), "wb") as log:
            process = subprocess.Popen(
                AS_SERVER + ["setpriv", "--pdeathsig", "QUIT", "--", program("postgres"), "-D", data] + flags,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
            )
        try:
            server = Server(folder)

            def is_ready():
                assert process.poll() is None, open(log.name, encoding="utf-8", errors="replace").read()
                check = [program("pg_isready"), "-q", "-h", folder]
                return subprocess.run(check, check=False).returncode == 0

            wait_until(is_ready, "PostgreSQL takes connections")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.unlink(log.name)
