"""A chat endpoint on 127.0.0.1 that answers as it is configured to, and keeps what it was sent."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


def completion(text: str | None, finish: str = "stop", **fields: object) -> dict:
    """Return the body of a good answer of 1,000 tokens in, 3 out."""
    message = {"role": "assistant", "content": text}
    counted = {"prompt_tokens": 1000, "completion_tokens": 3, "total_tokens": 1003}
    whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "served-1", "usage": counted}
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}


def failure(words: str) -> dict:
    return {"error": {"message": words, "type": "error", "code": None, "param": None}}


AT_ONCE = {"retry-after-ms": "1"}  # so that a test need not wait half a second for a second attempt


class Endpoint:
    """What the server was sent: request bodies, the keys given, and how many were under way at once at most."""

    def __init__(self, answer: Callable[[int], tuple[int, dict, dict]]) -> None:
        self.answer = answer
        self.bodies: list[dict] = []
        self.keys: list[str | None] = []
        self.under_way = self.most = 0
        self.lock = threading.Lock()
        self.url = ""

    def take(self, body: dict, key: str | None) -> tuple[int, dict, dict]:
        """Note one request and return status, headers and body of what to say."""
        with self.lock:
            self.bodies.append(body)
            self.keys.append(key)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            number = len(self.bodies)
        try:
            return self.answer(number)
        finally:
            with self.lock:
                self.under_way -= 1

    def images(self, number: int = 0) -> list[np.ndarray]:
        """Return the pictures of a request, each (height, width, 3)."""
        parts = self.bodies[number]["messages"][0]["content"]
        links = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2])))) for link in links]

    def text(self, number: int = 0) -> str:
        """Return the words of a request."""
        return next(part["text"] for part in self.bodies[number]["messages"][0]["content"] if part["type"] == "text")


@contextmanager
def serving(answer: Callable[[int], tuple[int, dict, dict]]) -> Iterator[Endpoint]:
    """Serve on a free port; `answer(n)` says what the n-th request gets, n from 1."""
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, said = endpoint.take(body, self.headers["Authorization"])
            data = json.dumps(said).encode()
            self.send_response(status)
            about = {"Content-Type": "application/json", "Content-Length": str(len(data))}
            for name, value in {**about, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
