"""A target of Apprise's ``json://`` URLs on a real socket, with answers that a test decides."""

from __future__ import annotations

import json
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from pypinger.testing.contract import Received


class Target:
    """
    The target: a :class:`pypinger.testing.contract.FakeService`.

    :ivar bodies: the messages that were posted.
    :ivar paths: the paths of all requests; the whole URLs if it is used as a proxy.
    :ivar headers: the headers of all requests.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[Message] = []
        self.answer: int | str = 200
        self.words = b""
        self.location = ""
        self._waiting: list[Deferred[None]] = []
        self._over = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"json://SECRET-user:SECRET-pass@127.0.0.1:{self.port}/SECRET-path"

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def release(self) -> None:
        """Accept the messages that hang."""
        self._over.set()

    def received(self) -> list[Received]:
        texts = [f"{body['title']}\n{body['message']}" for body in self.bodies]
        return [Received(text, text) for text in texts]

    def accept(self) -> None:
        self.answer = 200

    def refuse(self, words: str) -> None:
        self.answer, self.words = 404, words.encode()

    def fail(self, words: str) -> None:
        self.answer, self.words = 503, words.encode()

    def hang(self) -> None:
        self.answer = "hang"

    def drip(self) -> None:
        self.answer = "drip"

    def waiting(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _waits(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            reactor.callFromThread(each.callback, None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                target.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer()

            def answer(self) -> None:
                target.paths.append(self.path)
                target.headers.append(self.headers)
                answer = target.answer
                if answer == "hang":
                    target._waits()
                    target._over.wait(30)
                    answer = 200
                self.send_response(200 if answer == "drip" else int(answer))
                if target.location:
                    self.send_header("Location", target.location)
                self.send_header("Content-Length", str(10_000 if answer == "drip" else len(target.words)))
                self.end_headers()
                if answer == "drip":
                    target._waits()
                    try:
                        while not target._over.wait(0.05):
                            self.wfile.write(b".")
                            self.wfile.flush()
                    except OSError:
                        pass
                else:
                    self.wfile.write(target.words)

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler
