"""The scripts of the pages in a browser, without the platform behind them."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

CHROMIUM = shutil.which("chromium")
PAGE = (
    b"<!doctype html><main id=main></main><div id=messages></div><script type=module>"
    b"import { dagForm } from './dag-form.js'; window.dagForm = dagForm; window.ready = true;</script>"
)


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page(root):
    """A page that has loaded the form of DAGs; other scripts are imported by `/name.js`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium to show pages in")
    handler = functools.partial(Handler, directory=str(root / "plugins/stellar_pages/static"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_function("window.ready")
        yield page
        browser.close()
    server.shutdown()
