"""A chat endpoint that misbehaves as reported: python endpoint.py PORT, then ask model MODE at http://127.0.0.1:PORT/v1.

MODE is one of the keys of REPLIES; each value is (status, content type, body). What a person expects stands beside it.
"""

import http.server
import json
import sys


def chat(content, finish="stop", **message):
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def negative():
    body = chat("B")
    body["usage"]["prompt_tokens"] = -1
    return body


def bare():
    body = chat("B")
    body["choices"][0]["message"] = None
    return body


JSON = "application/json"
REPLIES = {
    "good": (200, JSON, chat("B")),  # B
    "html": (200, "text/html", "<html><body>502 Bad Gateway</body></html>"),  # error that names base_url
    "stream": (200, "text/event-stream", 'data: {"choices": []}\n\n'),  # the same
    "nomessage": (200, JSON, bare()),  # error in words
    "filter": (200, JSON, chat("", "content_filter")),  # error, never a wrong answer
    "parts": (200, JSON, chat([{"type": "thinking", "thinking": [{"type": "text", "text": "A?"}]}, {"type": "text", "text": "B"}])),  # B
    "cut": (200, JSON, chat("So, let me look at the video. Option A shows", "length")),  # unanswered, counted as cut
    "negative": (200, JSON, negative()),  # B; the count is dropped, the run stays readable
    "tokens": (400, JSON, {"error": {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "type": "invalid_request_error"}}),
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, kind, body = REPLIES[asked["model"]]
        if asked["model"] == "tokens" and "max_tokens" not in asked:
            status, body = 200, chat("B")
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


if __name__ == "__main__":
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
