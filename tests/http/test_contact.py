"""What an exchange shows about the host: the observation's contact, on which the question of fault rests."""

from __future__ import annotations

import errno
import socket
from typing import Any

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectBindError, getConnectError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.config.settings import TokenAuth
from pypinger.domain.model import Contact, Fault, Task
from pypinger.http.fetcher import TaskFetcher
from tests.http.faults import REPORT, SHORT, answer, bare, redirect
from tests.http.faultserver import CLOSE, RESET, STALL, FaultServer
from tests.http.memory import Bench
from tests.http.test_connections import task
from tests.http.test_tls import GOOD, Server

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
PROXY = "http://10.0.0.9:3128"


class InMemory(SynchronousTestCase):
    """With a fake clock."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.addCleanup(self.bench.close)

    def contact(self, running: Deferred[Any]) -> Contact | None:
        return self.successResultOf(running).contact

    def know(self, host: str, *addresses: str) -> None:
        self.bench.fetcher.network.names._known[host] = (1e9, addresses)

    def test_answer(self) -> None:
        self.know("a.example", "10.0.0.1")
        running = self.bench.fetch(task("a.example"))
        self.bench.connect().arrives(answer(REPORT, DATE))
        self.assertEqual(Contact("a.example", "10.0.0.1", date=784111777.0), self.contact(running))

    def test_address_that_won(self) -> None:
        self.know("a.example", "10.0.0.1", "10.0.0.2")
        running = self.bench.fetch(task("a.example"))
        self.bench.reactor.advance(0.3)
        self.bench.connect(1).arrives(answer())
        self.assertEqual(Contact("a.example", "10.0.0.2"), self.contact(running))

    def test_dates(self) -> None:
        for lines, date in (
            ((), None),
            ((DATE, b"Age: 7"), None),
            ((DATE, DATE), None),
            ((b"Date: Sunday, 06-Nov-94 08:49:37 GMT",), 784111777.0),
            ((b"Date: Sun Nov  6 08:49:37 1994",), 784111777.0),
            ((b"Date: 0",), None),
            ((b"Date:",), None),
            ((b"Date: Sun, 06 Nov 99999999999999 08:49:37 GMT",), None),
            ((b"Date: \xff\xff",), None),
        ):
            running = self.bench.fetch(task("10.0.0.1"))
            self.bench.connect().arrives(answer(REPORT, b"Connection: close", *lines))
            contact = self.contact(running)
            assert contact is not None
            self.assertEqual(date, contact.date, lines)
            self.bench.reactor.advance(1)
            self.bench.reactor.advance(0)

    def test_connecting(self) -> None:
        """Only a host to which no connection is made, and which refuses none, is silent."""

        def failed(number: int) -> Exception:
            return getConnectError((number, "x"))

        for addresses, errors, fault, silent in (
            (["10.0.0.1"], [failed(errno.EHOSTUNREACH)], Fault.CONNECT, True),
            (["10.0.0.1"], [failed(errno.ETIMEDOUT)], Fault.CONNECT, True),
            (["10.0.0.1"], [failed(errno.ECONNREFUSED)], Fault.REFUSED, False),
            (["10.0.0.1"], [failed(errno.ECONNRESET)], Fault.RESET, False),
            (["10.0.0.1"], [failed(errno.ENETUNREACH)], Fault.NO_ROUTE, False),
            (["10.0.0.1"], [failed(errno.ENETDOWN)], Fault.NO_ROUTE, False),
            (["10.0.0.1"], [failed(errno.EADDRNOTAVAIL)], Fault.NO_ROUTE, False),
            (["10.0.0.1"], [ConnectBindError(errno.EMFILE, "x")], Fault.OWN, False),
            (["::1"], [failed(errno.ENETUNREACH)], Fault.CONNECT, True),
            (["10.0.0.1", "10.0.0.2"], [failed(errno.EHOSTUNREACH), failed(errno.ECONNREFUSED)], Fault.REFUSED, False),
            (["10.0.0.1", "10.0.0.2"], [failed(errno.ENETUNREACH), failed(errno.EHOSTUNREACH)], Fault.CONNECT, True),
            (["::1", "10.0.0.1"], [failed(errno.ENETUNREACH), failed(errno.ENETUNREACH)], Fault.NO_ROUTE, False),
            (["::1", "10.0.0.1"], [failed(errno.EADDRNOTAVAIL), failed(errno.EMFILE)], Fault.OWN, False),
        ):
            self.know("a.example", *addresses)
            running = self.bench.fetch(task("a.example"))
            for error in errors:
                self.bench.refuse(error)
            found = self.successResultOf(running)
            self.assertEqual((fault, Contact("a.example", silent=silent)), (found.fault, found.contact), addresses)

    def test_time_outs(self) -> None:
        """Silent before a connection is made, not after."""
        self.bench.fetcher.network.names._start = lambda run: None
        looking_up = self.bench.fetch(task("a.example"))
        connecting = self.bench.fetch(task("10.0.0.1"))
        waiting = self.bench.fetch(task("10.0.0.2"))
        self.bench.connect()
        handshaking = self.bench.fetch(Task(url="https://10.0.0.3/", id="", name="", label="", timeout=20.0))
        self.bench.connect()
        self.bench.reactor.advance(20)
        for running, contact in (
            (looking_up, Contact("a.example", silent=True, resolved=False)),
            (connecting, Contact("10.0.0.1", silent=True)),
            (waiting, Contact("10.0.0.2", "10.0.0.2")),
            (handshaking, Contact("10.0.0.3", "10.0.0.3")),
        ):
            found = self.successResultOf(running)
            self.assertEqual((Fault.TIMEOUT, contact), (found.fault, found.contact))

    def look_ups(self, found: list[str] | Exception) -> None:
        """Let look-ups in the reactor's thread find these addresses."""

        def look_up(host: str) -> list[str]:
            if isinstance(found, Exception):
                raise found
            return found

        names = self.bench.fetcher.network.names
        self.bench.reactor.callFromThread = lambda call, *args: call(*args)
        names._look_up, names._start = look_up, lambda run: run()

    def test_look_ups_of_exchanges(self) -> None:
        """Neither known addresses nor a kept connection show that the resolver works."""
        self.look_ups(["10.0.0.1"])
        looked_up = self.bench.fetch(task("a.example"))
        known = self.bench.fetch(task("a.example"))
        wires = [self.bench.connect(0), self.bench.connect(1)]
        for wire in wires:
            wire.arrives(answer())
        kept = self.bench.fetch(task("a.example"))
        wires[1].arrives(answer())
        for running, resolved in ((looked_up, True), (known, None), (kept, None)):
            self.assertEqual(Contact("a.example", "10.0.0.1", resolved=resolved), self.contact(running))
        self.bench.reactor.advance(100)
        self.bench.reactor.advance(0)
        for error, silent in ((errno.ECONNREFUSED, False), (errno.EHOSTUNREACH, True)):
            running = self.bench.fetch(task("a.example"))
            self.bench.refuse(getConnectError((error, "x")))
            self.assertEqual(Contact("a.example", silent=silent, resolved=True), self.contact(running))
        self.look_ups(socket.gaierror(socket.EAI_NONAME, "x"))
        self.assertEqual(Contact("a.example", resolved=False), self.contact(self.bench.fetch(task("a.example"))))

    def test_look_ups_alone(self) -> None:
        def look_up(host: str, **settings: Any) -> Contact | None:
            asked = Task(url=f"http://{host}/", id="", name="", label="", timeout=20.0, **settings)
            running = Deferred.fromCoroutine(self.bench.fetcher.look_up(asked))
            self.bench.reactor.advance(20)
            return self.successResultOf(running)

        self.know("a.example", "10.0.0.1")
        self.look_ups(["10.0.0.1"])
        self.assertEqual(Contact("a.example", resolved=True), look_up("a.example"))
        self.assertEqual(Contact("p.example", resolved=True), look_up("a.example", proxy="http://p.example"))
        self.assertIsNone(look_up("10.0.0.1"))
        self.assertIsNone(look_up("a.example", proxy=PROXY))
        self.look_ups(socket.gaierror(socket.EAI_AGAIN, "x"))
        self.assertEqual(Contact("a.example", resolved=False), look_up("a.example"))
        self.look_ups(socket.gaierror(socket.EAI_MEMORY, "x"))
        self.assertEqual(Contact("a.example"), look_up("a.example"))
        self.bench.fetcher.network.names._start = lambda run: None
        self.assertEqual(Contact("a.example", silent=True, resolved=False), look_up("a.example"))

    def test_kept_connection(self) -> None:
        """A kept connection on which nothing comes back is silent, one on which something does is not."""
        for data, silent in ((b"", True), (b"HTTP/1.1 200 OK\r\n", False)):
            running = self.bench.fetch(task())
            wire = self.bench.connect()
            wire.arrives(answer())
            self.successResultOf(running)
            running = self.bench.fetch(task())
            wire.arrives(data)
            self.bench.reactor.advance(20)
            self.assertEqual(Contact("127.0.0.1", "127.0.0.1", silent), self.contact(running))
            self.bench.reactor.advance(0)

    def test_kept_connection_lost(self) -> None:
        """A new connection replaces one that is lost, and what becomes of that counts."""
        running = self.bench.fetch(task())
        wire = self.bench.connect()
        wire.arrives(answer())
        self.successResultOf(running)
        running = self.bench.fetch(task())
        wire.ends(clean=False)
        self.bench.refuse(getConnectError((errno.EHOSTUNREACH, "x")))
        self.assertEqual(Contact("127.0.0.1", silent=True), self.contact(running))

    def test_proxy(self) -> None:
        """Behind a forward proxy the proxy is the host; its refusal is silence, and so is 502, 503, 504 to CONNECT."""
        for url in ("http://a.example/", "https://a.example/"):
            asked = Task(url=url, id="", name="", label="", timeout=20.0, proxy=PROXY)
            for number, silent in ((errno.ECONNREFUSED, True), (errno.EHOSTUNREACH, True), (errno.EMFILE, False)):
                running = self.bench.fetch(asked)
                self.bench.refuse(getConnectError((number, "x")))
                self.assertEqual(Contact("10.0.0.9", silent=silent), self.contact(running))
        for code, silent in ((502, True), (503, True), (504, True), (403, False), (407, False), (500, False)):
            running = self.bench.fetch(asked)
            self.bench.connect().arrives(b"HTTP/1.1 %d x\r\n\r\n" % code)
            self.assertEqual(Contact("10.0.0.9", "10.0.0.9", silent), self.contact(running), code)
            self.bench.reactor.advance(0)
        running = self.bench.fetch(asked)
        self.bench.connect()
        self.bench.reactor.advance(20)
        self.assertEqual(Contact("10.0.0.9", "10.0.0.9"), self.contact(running))
        self.bench.reactor.advance(0)

    def test_proxy_that_answers(self) -> None:
        """To a plain request even 502 is an answer, and 407 is a fault of a proxy that answers."""
        for code in (502, 407):
            running = self.bench.fetch(
                Task(url="http://a.example/", id="", name="", label="", timeout=20.0, proxy=PROXY)
            )
            self.bench.connect().arrives(answer(b"", b"Connection: close", status=b"%d x" % code))
            self.assertEqual(Contact("10.0.0.9", "10.0.0.9"), self.contact(running))
            self.bench.reactor.advance(1)
            self.bench.reactor.advance(0)

    def test_no_host_asked(self) -> None:
        for asked in (task("127.0.0.1:70000"), task(proxy="socks5://x"), task(ca_file="/nowhere")):
            if asked.ca_file:
                asked = Task(url="https://10.0.0.1/", id="", name="", label="", ca_file="/nowhere")
            self.assertIsNone(self.contact(self.bench.fetch(asked)))

    def test_redirect_away(self) -> None:
        """The host asked last counts, and the answer names its URL."""
        running = self.bench.fetch(task("10.0.0.1"))
        self.bench.connect().arrives(redirect(b"http://10.0.0.2/x?token=hunter2"))
        self.bench.reactor.advance(0)
        self.bench.connect().arrives(answer())
        found = self.successResultOf(running)
        home = Contact("10.0.0.1", "10.0.0.1")
        self.assertEqual(Contact("10.0.0.2", "10.0.0.2", before=(home,)), found.contact)
        self.assertEqual(("http://10.0.0.2/x?…", True), (found.url, found.foreign))
        running = self.bench.fetch(task("10.0.0.3"))
        self.bench.connect().arrives(redirect(b"http://10.0.0.4/"))
        self.bench.reactor.advance(20)
        home = Contact("10.0.0.3", "10.0.0.3")
        self.assertEqual(Contact("10.0.0.4", silent=True, before=(home,)), self.contact(running))

    def test_redirect_at_home(self) -> None:
        running = self.bench.fetch(task("10.0.0.1"))
        wire = self.bench.connect()
        wire.arrives(redirect(b"/x"))
        wire.arrives(answer())
        found = self.successResultOf(running)
        self.assertEqual(("http://10.0.0.1/x", False), (found.url, found.foreign))
        running = self.bench.fetch(task("10.0.0.5"))
        self.bench.connect().arrives(answer())
        found = self.successResultOf(running)
        self.assertEqual((None, False), (found.url, found.foreign))

    def test_redirects_that_fail(self) -> None:
        """A host that redirects has answered, be it to nowhere, or without end, or to a silent host."""
        home, away = Contact("10.0.0.1", "10.0.0.1"), Contact("10.0.0.2", "10.0.0.2")
        for fails in (False, True):
            running = self.bench.fetch(task("10.0.0.1"))
            self.bench.connect().arrives(redirect(b"http://10.0.0.2/"))
            self.bench.connect().arrives(redirect(b"http://10.0.0.3/"))
            if fails:
                self.bench.refuse(getConnectError((errno.EHOSTUNREACH, "x")))
            self.bench.reactor.advance(20)
            self.assertEqual(Contact("10.0.0.3", silent=True, before=(home, away)), self.contact(running))
            self.setUp()
        running = self.bench.fetch(task("10.0.0.1"))
        self.bench.connect().arrives(redirect(b"http://10.0.0.2/"))
        self.bench.connect().arrives(answer())
        self.assertEqual(replace(away, before=(home,)), self.contact(running))
        self.setUp()
        running = self.bench.fetch(task("10.0.0.1"))
        self.bench.connect().arrives(redirect(b"ftp://10.0.0.2/"))
        self.assertEqual(Contact("10.0.0.1", "10.0.0.1"), self.contact(running))
        self.bench.reactor.advance(0)

    def test_at_once(self) -> None:
        """A task can be fetched several times at once."""
        running = [self.bench.fetch(task()) for _ in range(3)]
        for index in range(3):
            self.bench.connect(index).arrives(answer())
            self.assertEqual(REPORT, self.successResultOf(running[index]).body)

    def test_login(self) -> None:
        """A login that fails shows something about its own host."""
        bench = Bench(token=TokenAuth(url="http://10.0.0.8/login", username="me", password="hunter2"))
        for reply, silent in ((answer(b"", status=b"403 x"), False), (b"", True)):
            running = bench.fetch(task())
            if reply:
                bench.connect().arrives(reply)
            else:
                bench.refuse(getConnectError((errno.EHOSTUNREACH, "x")))
            found = self.successResultOf(running)
            self.assertEqual(Fault.TOKEN, found.fault)
            self.assertEqual(Contact("10.0.0.8", None if silent else "10.0.0.8", silent), found.contact)
            bench.reactor.advance(5)
        bench.close()


class OverSockets(TestCase):
    """Faults after a connection is made are the task's."""

    async def test_not_silent(self) -> None:
        fetcher = TaskFetcher(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        for script, context in (
            ((CLOSE,), None),
            ((RESET,), None),
            ((STALL,), None),
            ((b"nonsense",), None),
            ((bare(b"Content-Length: 9"), CLOSE), None),
            ((answer(),), Server(GOOD)),
        ):
            server = FaultServer(script)
            self.addCleanup(server.listen(context).stopListening)
            scheme = "http" if context is None else "https"
            asked = Task(
                f"{scheme}://localhost:{server.port}/",
                id="",
                name="",
                label="",
                timeout=SHORT if script == (STALL,) else 60.0,
            )
            found = await fetcher.fetch(asked)
            assert found.contact is not None
            self.assertEqual(Contact("localhost", "127.0.0.1"), replace(found.contact, resolved=None), found)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            asked = Task(f"http://127.0.0.1:{unused.getsockname()[1]}/", id="", name="", label="")
            self.assertEqual(Contact("127.0.0.1"), (await fetcher.fetch(asked)).contact)
