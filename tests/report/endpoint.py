"""A push endpoint on loopback that keeps what it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

KEY = "5fa8c9ad-9d9b-4b4e-a00d-5b0b3f8f5f6e"


class Endpoint:
    """
    Answers POSTs in a thread.

    :ivar answers: status codes of the next answers; 200 when they are used up.
    :ivar reports: the reports of the requests, in order; `paths`, `headers` likewise.
    :ivar before_answer: called before each answer.
    """

    def __init__(self, test: SynchronousTestCase | TestCase, *answers: int, text: str = "OK") -> None:
        self.answers = list(answers)
        self.text = text
        self.headers_sent: dict[str, str] = {}
        self.reports: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.before_answer: Callable[[], None] = lambda: None
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.reports.append(json.loads(body))
                endpoint.paths.append(self.path)
                endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                endpoint.before_answer()
                self.send_response(endpoint.answers.pop(0) if endpoint.answers else 200)
                for name, value in endpoint.headers_sent.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(endpoint.text.encode())))
                self.end_headers()
                self.wfile.write(endpoint.text.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        test.addCleanup(self._server.server_close)
        test.addCleanup(thread.join)
        test.addCleanup(self._server.shutdown)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/push/{KEY}"
