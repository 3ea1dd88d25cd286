"""The token: one login for all tasks, renewed once after a refusal."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config.settings import TokenAuth
from pypinger.domain.model import Answer, Fault, NoAnswer, Task
from tests.http.faults import REPORT, answer
from tests.http.memory import Bench, Wire

LOGIN = TokenAuth(header="X-Token", url="http://10.0.0.1/login?k=hunter2", username="me", password="hunter2")
NO = answer(b"no", status=b"401 Unauthorized")


def task(port: int = 1, **more: Any) -> Task:
    """Return a task at a port."""
    return Task(url=f"http://10.0.0.2:{port}/", id="id", name="name", label="label", **{"timeout": 30.0, **more})


def token(value: str) -> bytes:
    """Return the answer to a login."""
    return answer(json.dumps({"auth_token": value}).encode())


class Tokens(SynchronousTestCase):
    """In memory, with a fake clock."""

    def setUp(self) -> None:
        self.bench = Bench(token=LOGIN)
        self.addCleanup(self.bench.close)
        self.seen = 0

    def connects(self) -> list[str]:
        """Return where the client has connected to since the last call."""
        clients = self.bench.reactor.tcpClients
        found = [f"{host}:{port}" for host, port, *_ in clients[self.seen :]]
        self.seen = len(clients)
        return found

    def log_in(self, reply: bytes) -> bytes:
        """Answer the login under way; returns its request."""
        self.assertEqual(["10.0.0.1:80"], self.connects())
        wire = self.bench.connect()
        asked = wire.asked()
        wire.arrives(reply)
        return asked

    def serve(self, reply: bytes) -> tuple[Wire, bytes]:
        """Answer one check on a new connection."""
        self.connects()
        wire = self.bench.connect()
        asked = wire.asked()
        wire.arrives(reply)
        return wire, asked

    def observed(self, running: Deferred[Any]) -> Any:
        return self.successResultOf(running)

    def test_login(self) -> None:
        running = self.bench.fetch(task())
        asked = self.log_in(token("abc"))
        head, _, body = asked.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /login?k=hunter2 HTTP/1.1\r\nHost: 10.0.0.1\r\n"))
        self.assertIn(b"\r\nContent-Type: application/json; charset=UTF-8\r\n", head)
        self.assertEqual({"email": "me", "password": "hunter2"}, json.loads(body))
        _, asked = self.serve(answer())
        self.assertIn(b"\r\nX-Token: abc\r\n", asked)
        self.assertEqual(REPORT, self.observed(running).body)

    def test_learned(self) -> None:
        """The token of a login is reported as a secret."""
        secrets: list[str] = []
        bench = Bench(token=LOGIN, learned=secrets.append)
        running = bench.fetch(task())
        bench.connect().arrives(token("abc"))
        self.assertEqual(["abc"], secrets)
        bench.connect().arrives(answer())
        self.assertEqual(Answer, type(self.observed(running)))
        bench.close()

    def test_one_login_for_all(self) -> None:
        checks = [self.bench.fetch(task(port)) for port in range(1, 51)]
        self.log_in(token("abc"))
        self.assertEqual(50, len(self.connects()))
        for index, running in enumerate(checks):
            wire = self.bench.connect(index + 1)
            self.assertIn(b"X-Token: abc", wire.asked())
            wire.arrives(answer())
            self.assertEqual(Answer, type(self.observed(running)))
        self.bench.fetch(task(51)).addErrback(lambda _: None).cancel()
        self.assertEqual(["10.0.0.2:51"], self.connects())

    def test_static(self) -> None:
        bench = Bench(token=TokenAuth(token="Bearer x y"))
        running = bench.fetch(task())
        wire = bench.connect()
        self.assertIn(b"\r\nAuthorization: Bearer x y\r\n", wire.asked())
        wire.arrives(NO)
        self.assertEqual(401, self.observed(running).code)
        self.assertEqual(1, len(bench.reactor.tcpClients))
        bench.close()

    def test_left_out(self) -> None:
        """``token_auth = no``, and a task with credentials for the same header."""
        bench = Bench(token=TokenAuth(token="abc"))
        for asked_task, line in (
            (task(token_auth=False), None),
            (task(2, credentials="a:b"), b"Authorization: Basic YTpi\r\n"),
            (Task(url="http://a:b@10.0.0.2/", id="", name="", label=""), b"Authorization: Basic YTpi\r\n"),
        ):
            running = bench.fetch(asked_task)
            wire = bench.connect()
            asked = wire.asked()
            self.assertNotIn(b"abc", asked)
            self.assertEqual(0 if line is None else 1, asked.count(b"Authorization"))
            self.assertIn(line or b"", asked)
            wire.arrives(answer())
            self.observed(running)
        bench.close()

    def test_renewed(self) -> None:
        """A refused token is renewed within the check; other checks use the new one."""
        running = self.bench.fetch(task())
        self.log_in(token("old"))
        wire, _ = self.serve(NO)
        self.log_in(token("new"))
        self.assertIn(b"X-Token: new\r\n", wire.asked())
        wire.arrives(answer())
        self.assertEqual(200, self.observed(running).code)
        other = self.bench.fetch(task(2))
        _, asked = self.serve(answer())
        self.assertIn(b"X-Token: new\r\n", asked)
        self.observed(other)

    def test_renewed_once_for_all(self) -> None:
        first = [self.bench.fetch(task(port)) for port in (1, 2, 3)]
        self.log_in(token("old"))
        self.connects()
        wires = [self.bench.connect(index) for index in (1, 2, 3)]
        for wire in wires[:2]:
            wire.asked()
            wire.arrives(NO)
        self.log_in(token("new"))
        wires[2].arrives(answer(b"no", status=b"403 Forbidden"))  # sent with the old one, refused after the renewal
        for wire, running in zip(wires, first, strict=True):
            self.assertIn(b"X-Token: new\r\n", wire.asked())
            wire.arrives(answer())
            self.assertEqual(200, self.observed(running).code)
        self.assertEqual([], self.connects())

    def test_second_refusal(self) -> None:
        """A second refusal stands, and no login follows for a minute."""
        running = self.bench.fetch(task())
        self.log_in(token("old"))
        wire, _ = self.serve(NO)
        self.log_in(token("new"))
        wire.arrives(NO)
        self.assertEqual(401, self.observed(running).code)
        self.bench.reactor.advance(59)
        running = self.bench.fetch(task())
        wire.arrives(NO)
        self.assertEqual(401, self.observed(running).code)
        self.assertEqual([], self.connects())
        self.bench.reactor.advance(1)
        running = self.bench.fetch(task())
        wire.arrives(NO)
        self.log_in(token("newest"))
        wire.arrives(answer())
        self.assertEqual(200, self.observed(running).code)

    def test_same_token_again(self) -> None:
        running = self.bench.fetch(task())
        self.log_in(token("abc"))
        wire, _ = self.serve(NO)
        wire.asked()
        self.log_in(token("abc"))
        self.assertEqual(401, self.observed(running).code)
        self.assertEqual(b"", wire.asked())

    def test_bad_answers(self) -> None:
        for reply, words in (
            (answer(b"", status=b"403 No"), "no token: the login at 10.0.0.1:80 answered with status 403"),
            (answer(b"[]"), "no token: the login at 10.0.0.1:80 answered without a usable auth_token"),
            (answer(b"hello"), "without a usable auth_token"),
            (answer(b"\xff"), "without a usable auth_token"),
            (answer(b'{"auth_token": 7}'), "without a usable auth_token"),
            (answer(b'{"a":' + b"[" * 50_000), "without a usable auth_token"),
            (token(""), "it is empty or longer than"),
            (token("x" * 8193), "it is empty or longer than"),
            (token("a\r\nb: c"), "no token: the request header X-Token holds a character"),
            (b"hello", "no token: the login failed: not a valid HTTP answer"),
            (answer(b"", b"Location: http://10.0.0.3/", status=b"307 x"), "answered with status 307"),
        ):
            running = self.bench.fetch(task())
            self.log_in(reply)
            found = self.observed(running)
            self.assertEqual(Fault.TOKEN, found.fault)
            self.assertIn(words, found.words)
            self.assertNotIn("hunter2", found.words)
            self.bench.reactor.advance(5)

    def test_failure_shared(self) -> None:
        """A failed login is not repeated for five seconds."""
        running = self.bench.fetch(task())
        self.connects()
        self.bench.refuse(ConnectionRefusedError(111, "refused"))
        self.assertEqual(Fault.TOKEN, self.observed(running).fault)
        self.bench.reactor.advance(4.9)
        found = self.observed(self.bench.fetch(task()))
        self.assertEqual("no token: the login failed: connection refused by 10.0.0.1:80", found.words)
        self.assertEqual([], self.connects())
        self.bench.reactor.advance(0.1)
        running = self.bench.fetch(task())
        self.log_in(token("abc"))
        self.serve(answer())
        self.assertEqual(Answer, type(self.observed(running)))

    def test_own_fault(self) -> None:
        running = self.bench.fetch(task())
        self.connects()
        self.bench.refuse(ConnectBindError(24, "too many open files"))
        self.assertEqual(Fault.OWN, self.observed(running).fault)

    def test_not_renewable(self) -> None:
        """If the token cannot be renewed, other checks use the old one."""
        running = self.bench.fetch(task())
        self.log_in(token("old"))
        wire, _ = self.serve(NO)
        self.log_in(answer(b"", status=b"500 x"))
        found = self.observed(running)
        self.assertEqual(Fault.TOKEN, found.fault)
        self.assertIn("answered 401 to the token; no token: the login at 10.0.0.1:80 answered with", found.words)
        running = self.bench.fetch(task())
        self.assertIn(b"X-Token: old", wire.asked())
        wire.arrives(answer())
        self.assertEqual(200, self.observed(running).code)

    def test_waiting_ends(self) -> None:
        """A check that ends does not end the login that others wait for."""
        late = self.bench.fetch(task(1, timeout=2.0))
        cancelled = self.bench.fetch(task(2))
        patient = self.bench.fetch(task(3))
        self.bench.reactor.advance(1)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.bench.reactor.advance(1)
        found = self.observed(late)
        self.assertEqual((Fault.TOKEN, "no token: the login did not answer within 2 s"), (found.fault, found.words))
        self.log_in(token("abc"))
        self.serve(answer())
        self.assertEqual(Answer, type(self.observed(patient)))

    def test_login_stalls(self) -> None:
        running = self.bench.fetch(task())
        self.bench.reactor.advance(20)
        found = self.observed(running)
        self.assertEqual(Fault.TOKEN, found.fault)
        self.assertIn("no answer within 20 s: still connecting to 10.0.0.1:80", found.words)

    def test_closed(self) -> None:
        """Closing the client ends a login and the checks that wait for it."""
        running = self.bench.fetch(task())
        Deferred.fromCoroutine(self.bench.fetcher.close())
        self.assertEqual(NoAnswer, type(self.observed(running)))

    def test_surprise(self) -> None:
        def surprise(*args: object) -> None:
            raise RuntimeError("surprise")

        self.patch(self.bench.fetcher._logins, "route", surprise)
        found = self.observed(self.bench.fetch(task()))
        self.assertEqual("no token: the login failed, see the log", found.words)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_bad_header(self) -> None:
        for settings in (TokenAuth(header="X Y", token="a"), TokenAuth(token="a\nb"), TokenAuth(token=" ")):
            bench = Bench(token=settings)
            self.assertEqual(Fault.TOKEN, self.observed(bench.fetch(task())).fault)
            bench.close()
