"""A web server on loopback whose pages come as slowly as a test wants."""

import contextlib
import http.server
import re
import threading


@contextlib.contextmanager
def serve():
    """Gives an object with `url(name)`, `asked` (the paths asked for) and `release` (an event that the /slow pages wait
    for). A page /delay-0.5-x comes after half a second."""

    class Pages:
        release = threading.Event()
        asked = []

        @staticmethod
        def url(name):
            return f"http://127.0.0.1:{server.server_port}/{name}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            Pages.asked.append(self.path)
            if "slow" in self.path:
                Pages.release.wait(60)
            if delay := re.match(r"/delay-([0-9.]+)", self.path):
                Pages.release.wait(float(delay[1]))
            body = f"<html><head><title>Page {self.path}</title></head><body><p>Hello.</p></body></html>".encode()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Pages
    finally:
        Pages.release.set()
        server.shutdown()
        server.server_close()
