"""Reports that are pushed: what is sent, retried and given up, and that the key stays secret."""

from __future__ import annotations

import os
import socket
import threading
from base64 import b64decode
from types import SimpleNamespace
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from pypinger.report import push
from pypinger.report.content import EndedRun, TaskDetails
from pypinger.report.push import PushUrl
from tests.report.endpoint import KEY, Endpoint

DETAILS = TaskDetails("import", "db1", schedule="0 3 * * *", timezone="Europe/Berlin")
ENDED = EndedRun(1_000_000.0, 1_000_060.0, False, "disk full")

PATIENCE = 60.0


class PushTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.complaints: list[str] = []
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            if name in os.environ:
                self.addCleanup(os.environ.__setitem__, name, os.environ.pop(name))

    def open(self, url: str) -> PushUrl:
        return PushUrl(url, DETAILS, self.complaints.append)

    def pushed(self, url: str, run: EndedRun = ENDED) -> None:
        target = self.open(url)
        target.finish(run)
        self.assertTrue(target.wait(PATIENCE))


class DeliveryTests(PushTestCase):
    def test_start_and_end(self) -> None:
        endpoint = Endpoint(self)
        target = self.open(endpoint.url)
        target.begin(1_000_000.0)
        target.finish(ENDED)
        self.assertTrue(target.wait(PATIENCE))
        details = {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "process": "import", "server": "db1"}
        started = {"started": "1970-01-12T13:46:40.000Z"}
        self.assertEqual(
            endpoint.reports,
            [
                {"status": "ok", **started, **details},
                {
                    "status": "error",
                    "reason": "disk full",
                    "lastrun": "1970-01-12T13:47:40.000Z",
                    **started,
                    **details,
                },
            ],
        )
        self.assertEqual(endpoint.paths, [f"/push/{KEY}"] * 2)
        self.assertEqual(endpoint.headers[0]["content-type"], "application/json")
        self.assertEqual(self.complaints, [])

    def test_does_not_wait(self) -> None:
        """The start of a run is not held up by a monitor that does not answer."""
        endpoint = Endpoint(self)
        answers = threading.Event()
        endpoint.before_answer = answers.wait  # type: ignore[assignment]
        target = self.open(endpoint.url)
        target.begin(1_000_000.0)
        self.assertFalse(target.wait(0.05))
        answers.set()
        self.assertTrue(target.wait(PATIENCE))

    def test_retried(self) -> None:
        self.patch(push, "_FIRST_PAUSE", 0.01)
        for code in (500, 503, 429, 408):
            endpoint = Endpoint(self, code)
            self.pushed(endpoint.url)
            self.assertEqual(len(endpoint.reports), 2, code)
        self.assertEqual(self.complaints, [])

    def test_retried_without_an_answer(self) -> None:
        """A monitor that is restarted gets the report once it is back."""
        self.patch(push, "_FIRST_PAUSE", 0.01)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            free.listen()
            target = self.open(f"http://127.0.0.1:{free.getsockname()[1]}/push/{KEY}")
            target.finish(ENDED)
            free.accept()[0].close()
            # The second attempt is not refused, so that it can be answered.
            connection = free.accept()[0]
            received = connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
            self.assertTrue(target.wait(PATIENCE))
            connection.close()
        self.assertIn(b"POST /push/", received)
        self.assertEqual(self.complaints, [])

    def test_refusals_are_final(self) -> None:
        """What the monitor does not take now it does not take later."""
        for code in (301, 302, 307, 400, 401, 404, 413):
            endpoint = Endpoint(self, code, text="status must be ok or error\nmore")
            endpoint.headers_sent = {"Location": f"{endpoint.url}/elsewhere"}
            self.pushed(endpoint.url)
            self.assertEqual(len(endpoint.reports), 1, code)
            words = self.complaints.pop()
            self.assertIn(f"cannot push to http://127.0.0.1:{endpoint.port}/***: HTTP {code} ", words)
            self.assertTrue(words.endswith(": status must be ok or error"), words)

    def test_given_up_after_a_minute(self) -> None:
        clock = [0.0]
        self.patch(push, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        self.patch(push, "_FIRST_PAUSE", 0.01)
        endpoint = Endpoint(self, *[503] * 100, text="<html>")
        endpoint.before_answer = lambda: clock.append(clock.pop() + 31)
        self.pushed(endpoint.url)
        self.assertEqual(len(endpoint.reports), 2)
        expected = f"cannot push to http://127.0.0.1:{endpoint.port}/***: HTTP 503 Service Unavailable"
        self.assertEqual(self.complaints, [expected])

    def test_retry_after(self) -> None:
        """A server that asks for more time than there is gets no other attempt."""
        endpoint = Endpoint(self, 503)
        endpoint.headers_sent = {"Retry-After": "120"}
        self.pushed(endpoint.url)
        self.assertEqual((len(endpoint.reports), len(self.complaints)), (1, 1))

    def test_an_end_replaces_what_fails(self) -> None:
        """A start that could not be pushed is not retried once the run has ended."""
        failed = threading.Event()
        endpoint = Endpoint(self, 503)
        endpoint.before_answer = failed.set
        target = self.open(endpoint.url)
        target.begin(1_000_000.0)
        self.assertTrue(failed.wait(PATIENCE))
        target.finish(ENDED)
        self.assertTrue(target.wait(PATIENCE))
        self.assertEqual([report.get("reason") for report in endpoint.reports], [None, "disk full"])
        self.assertEqual(self.complaints, [])

    def test_silent_server(self) -> None:
        """An attempt ends, though nothing is answered."""
        self.patch(push, "RETRY_FOR", 0.5)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            self.pushed(f"http://127.0.0.1:{silent.getsockname()[1]}/push/{KEY}")
        self.assertEqual(len(self.complaints), 1)
        self.assertIn("timed out", self.complaints[0])

    def test_no_thread(self) -> None:
        """Where a limit allows no thread, what runs the command goes on."""
        endpoint = Endpoint(self)

        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with mock.patch.object(threading.Thread, "start", start):
            self.pushed(endpoint.url)
        self.assertEqual(
            self.complaints, [f"cannot push to http://127.0.0.1:{endpoint.port}/***: can't start new thread"]
        )
        self.pushed(endpoint.url)
        self.assertEqual(len(endpoint.reports), 1)

    def test_after_a_fork(self) -> None:
        """A process that is forked while a report is pushed pushes its own."""
        endpoint = Endpoint(self)
        answers = threading.Event()
        endpoint.before_answer = answers.wait  # type: ignore[assignment]
        target = self.open(endpoint.url)
        target.begin(1_000_000.0)
        process = os.fork()
        if process == 0:
            try:
                target.finish(ENDED)
                os._exit(0 if target.wait(PATIENCE) else 1)
            finally:
                os._exit(99)
        answers.set()
        self.assertEqual(os.waitpid(process, 0)[1], 0)
        self.assertTrue(target.wait(PATIENCE))
        self.assertCountEqual([report.get("reason") for report in endpoint.reports], [None, "disk full"])


class ProxyTests(PushTestCase):
    def test_of_the_environment(self) -> None:
        proxy = Endpoint(self)
        os.environ["http_proxy"] = f"http://127.0.0.1:{proxy.port}"
        self.addCleanup(os.environ.pop, "http_proxy")
        self.pushed(f"http://pinger.invalid/push/{KEY}")
        self.assertEqual(proxy.paths, [f"http://pinger.invalid/push/{KEY}"])

    def test_no_proxy(self) -> None:
        endpoint = Endpoint(self)
        os.environ["http_proxy"] = "http://127.0.0.1:1"
        self.addCleanup(os.environ.pop, "http_proxy")
        os.environ["no_proxy"] = "127.0.0.1"
        self.addCleanup(os.environ.pop, "no_proxy")
        self.pushed(endpoint.url)
        self.assertEqual(endpoint.paths, [f"/push/{KEY}"])


class SecretTests(PushTestCase):
    def test_userinfo(self) -> None:
        """It is sent as HTTP Basic, and shown nowhere."""
        endpoint = Endpoint(self, 404, text=f"no such key: {KEY}")
        self.pushed(endpoint.url.replace("://", "://ops:s%40cret-word@"))
        kind, _, value = endpoint.headers[0]["authorization"].partition(" ")
        self.assertEqual((kind, b64decode(value)), ("Basic", b"ops:s@cret-word"))
        self.assertNotIn("cret-word", self.complaints[0])
        self.assertNotIn(KEY, self.complaints[0])

    def test_key_in_the_reason(self) -> None:
        """Where the command prints it on standard error, say."""
        endpoint = Endpoint(self)
        self.pushed(endpoint.url, ENDED._replace(reason=f"cannot POST to {endpoint.url}"))
        self.assertEqual(endpoint.reports[0]["reason"], f"cannot POST to http://127.0.0.1:{endpoint.port}/***")

    def test_problems_of_urls(self) -> None:
        for url in (
            "",
            f"pinger.example/push/{KEY}",
            f"ftp://pinger.example/push/{KEY}",
            f"http:///push/{KEY}",
            f"http://pinger.example:port/push/{KEY}",
            f"http://pinger.example:99999/push/{KEY}",
            f"http://[::1/push/{KEY}",
            f"http://pinger.example/push/{KEY} x",
            f"http://pinger.example/push/\u00e4{KEY}",
            f"http://pinger.example/push/{KEY}\r\nX: y",
        ):
            error = self.assertRaises(ValueError, self.open, url)
            self.assertNotIn(KEY, str(error))

    def test_problems_of_requests(self) -> None:
        self.patch(push, "RETRY_FOR", 0.5)
        for url in (
            f"http://127.0.0.1:1/push/{KEY}",
            f"http://nowhere.invalid/push/{KEY}",
            f"https://127.0.0.1:{Endpoint(self).port}/push/{KEY}",
            f"http://[::1]:1/push/{KEY}?more={KEY}",
        ):
            self.pushed(url)
            self.assertIn("/***: ", self.complaints[-1])
            self.assertNotIn(KEY, self.complaints[-1])
        self.assertTrue(self.complaints[0].endswith("Connection refused"), self.complaints[0])
