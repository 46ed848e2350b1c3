"""A receiver of OpenLineage events that listens on a real port: there, slow, down or refusing."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        event = json.loads(body)
        server.asked.append((self.path, self.headers.get("Authorization"), event))
        if server.drips:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(1000):
                time.sleep(0.2)
                self.wfile.write(b".")
                self.wfile.flush()
            return
        status = server.status(event) if callable(server.status) else server.status
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.status, server.drips, server.daemon_threads = [], 201, False, True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def at(settings, receiver):
    settings.openlineage_url = f"http://127.0.0.1:{receiver.server_port}"
    return settings
