"""A server of films on this machine, and the ways in which it does not send one."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from niah.suite.config import Downloads

BODY = b"twenty bytes of film"
HERE = Downloads(allow_private=True)  # what a suite must say to be served


@contextmanager
def serving(answer):
    """Serve on 127.0.0.1; `answer` gets a request's handler. Yields the address and the paths that were asked for."""
    asked, stopped = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.stopped = stopped
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                return  # the other side has had enough, which is what is tested

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def whole(handler):
    """Send all of the film."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    handler.wfile.write(BODY)


def endless(handler):
    """Send and send, without saying how much."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.stopped.is_set():
        handler.wfile.write(b"x" * 65536)


def dripping(handler):
    """Send a byte at a time, often enough that no timeout of a socket notices."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.stopped.wait(0.05):
        handler.wfile.write(b"x")


def dripping_headers(handler):
    """Never come to the end of the headers."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
    while not handler.stopped.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def too_short(handler):
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(BODY)


def too_long(handler):
    """Announce a terabyte."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**40))
    handler.end_headers()


def absent(handler):
    """Have nothing."""
    handler.send_error(404)


def leading_to(target):
    """Redirect."""

    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return answer


def silent(handler):
    """Promise a film and send none of it."""
    handler.send_response(200)
    handler.end_headers()
    handler.stopped.wait()
