"""
Runs the daemon in a process of its own, under ``twistd``. Most processes are forked, see :mod:`tests.forks`.

The fake endpoints and channels live in the reactor of the test (:mod:`tests.acceptance.endpoints`,
:mod:`tests.acceptance.channels`); the daemon knows them from its ini file only.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.forked import CHECKOUT, ForkedProcess
from tests.ports import free_port as free_port

#: Works in a checkout and in an installed environment.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
PYPINGER = (sys.executable, "-c", "import sys; from pypinger.cli import main; sys.exit(main())")

#: Time limit in seconds for steps that should take one, on a busy machine.
PATIENCE = 90.0


class Answer(NamedTuple):
    """An HTTP answer. Header names are in lower case."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def pause(seconds: float) -> None:
    await deferLater(reactor, seconds)


async def until(happened: Callable[[], object], what: str = "it", patience: float = PATIENCE) -> None:
    """Wait until `happened` returns a true value."""
    deadline = reactor.seconds() + patience
    while not happened():
        if reactor.seconds() > deadline:
            raise AssertionError(f"{what} did not happen within {patience:g} s")
        await pause(0.05)


class Unanswered(ConnectError):
    """The connection was closed without an answer, as by a daemon that was too busy to read the request in time."""


class _Conversation(Protocol):
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.received = b""
        self.over: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        self.transport.write(self.request)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.over.called:
            self.over.callback(self.received)


async def ask(
    port: int,
    target: str = "/",
    *,
    method: str = "GET",
    host: str = "localhost",
    headers: Iterable[str] = ("Accept: application/json",),
    body: bytes = b"",
) -> Answer:
    """Make one request; the target is sent as given."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    conversation = _Conversation("\r\n".join([*lines, "", ""]).encode() + body)
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=PATIENCE), conversation)
    received = await conversation.over.addTimeout(PATIENCE, reactor)
    if not received:
        raise Unanswered
    head, _, content = received.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    return Answer(
        int(first.split()[1]),
        {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)},
        content,
    )


class Process(ProcessProtocol):
    """
    A process in an empty directory outside the checkout, killed when the test ends.

    :param forked: whether it is a fork of a process that has imported the daemon's modules; for commands of Python,
        where neither the start nor the variables that Python reads then are what is tested.
    :param imports: further modules that it would import.
    :ivar directory: its working directory.
    :ivar log: its standard output and standard error.
    :ivar ended: its exit code, or the negative number of the signal that ended it; None while it runs.
    """

    def __init__(
        self,
        test: TestCase,
        *command: str,
        directory: str | None = None,
        environ: Mapping[str, str] | None = None,
        forked: bool = False,
        imports: Sequence[str] = (),
    ) -> None:
        self.test = test
        self.directory = directory or new_directory(test)
        self.out = b""
        self.err = b""
        self.ended: int | None = None
        self._over: Deferred[None] = Deferred()
        variables = {**os.environ, "PYTHONPATH": CHECKOUT, "PYTHONUNBUFFERED": "1", **(environ or {})}
        if forked:
            self._process = ForkedProcess(self, command, variables, self.directory, imports)
        else:
            self._process = reactor.spawnProcess(self, command[0], command, variables, self.directory)
        self._process.closeStdin()
        test.addCleanup(self._kill)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.out + self.err).decode()

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def signal(self, name: str) -> None:
        self._process.signalProcess(name)

    def processEnded(self, reason: Failure) -> None:
        status = reason.value
        self.ended = status.exitCode if status.signal is None else -status.signal
        self._over.callback(None)

    async def end(self) -> int:
        """Wait until the process ends. Returns the exit code."""
        await until(lambda: self.ended is not None, f"the end of the process with {self.log}")
        assert self.ended is not None
        return self.ended

    def _kill(self) -> Deferred[None]:
        try:
            self.signal("KILL")
        except ProcessExitedAlready:
            pass
        # Its own children may live on and keep the pipes open.
        self._process.loseConnection()
        return self._over


def new_directory(test: TestCase) -> str:
    directory = tempfile.mkdtemp(prefix="pypinger-acceptance-")
    test.addCleanup(shutil.rmtree, directory)
    return directory


def ini(port: int, urls: Iterable[str], main: str = "", more: str = "", web: str = "") -> str:
    """
    The text of an ini file.

    :param port: the port of the pages.
    :param urls: the tasks, for `prod` and `dev`.
    :param main: lines of ``[main]``.
    :param more: further sections.
    :param web: further lines of ``[web]``.
    """
    listed = ",\n    ".join(urls)
    return (
        f"[main]\n{main}\n"
        f"[urls]\nprod = {listed}\ndev = {listed}\n"
        f"[web]\nendpoint = tcp:{port}:interface=127.0.0.1\n{web}\n"
        f"[store]\npath = :memory:\n{more}\n"
    )


class Daemon(Process):
    """
    ``twistd -n pypinger`` with an ini file.

    :param text: the text of the ini file; None for no file.
    :param command: the command that runs ``twistd`` in a new process; None for one that is forked.
    :param directory: that of an earlier one, to go on there.
    :ivar port: the port of its pages.
    """

    def __init__(
        self,
        test: TestCase,
        text: str | bytes | None,
        port: int = 0,
        *,
        command: Iterable[str] | None = None,
        twistd: Iterable[str] = ("-n", "--pidfile="),
        environ: Mapping[str, str] | None = None,
        directory: str | None = None,
        imports: Sequence[str] = (),
    ) -> None:
        directory = directory or new_directory(test)
        if text is not None:
            Path(directory, "pinger.ini").write_bytes(text if isinstance(text, bytes) else text.encode())
        self.port = port
        arguments = (*(command or TWISTD), *twistd, "pypinger")
        forked = command is None
        super().__init__(test, *arguments, directory=directory, environ=environ, forked=forked, imports=imports)

    async def get(self, target: str = "/", **arguments: Any) -> Answer:
        return await ask(self.port, target, **arguments)

    async def serves(self) -> None:
        """Wait until the pages are served."""
        await self._answers("/healthz")

    async def is_ready(self) -> None:
        """Wait until every task has been checked."""
        await self._answers("/readyz")

    async def task(self, url: str) -> dict[str, Any]:
        """The task with this URL in the JSON overview."""
        tasks = (await self.get()).json()["data"]
        return next(task for task in tasks if task["url"] == url)

    async def becomes(self, url: str, **members: object) -> dict[str, Any]:
        """Wait until the task has these members in JSON."""
        await self.serves()
        deadline = reactor.seconds() + PATIENCE
        task: dict[str, Any] = {}
        while True:
            with suppress(Unanswered):
                task = await self.task(url)
            if members.items() <= task.items():
                return task
            if reactor.seconds() > deadline:
                raise AssertionError(f"{url} never became {members}: {task}\n{self.log}")
            await pause(0.05)

    async def says(self, **members: object) -> dict[str, Any]:
        """Wait until the daemon's report of itself has these members in JSON."""
        own: dict[str, Any] = {}
        deadline = reactor.seconds() + PATIENCE
        while not (own and members.items() <= own.items()):
            if reactor.seconds() > deadline:
                raise AssertionError(f"the daemon never said {members}: {own}\n{self.log}")
            own = (await self.get()).json()["self"]
            await pause(0.05)
        return own

    async def stop(self, signal: str = "TERM") -> None:
        """Stop the daemon by a signal. It must exit cleanly, without an unexpected error in the log."""
        self.signal(signal)
        self.test.assertEqual(await self.end(), 0, self.log)
        for surprise in ("Traceback", "Unhandled", "Error in Deferred", "nexpected error", " broke"):
            self.test.assertNotIn(surprise, self.log)

    async def _answers(self, target: str) -> None:
        deadline = reactor.seconds() + PATIENCE
        while self.ended is None and reactor.seconds() < deadline:
            try:
                if (await self.get(target)).code == 200:
                    return
            except ConnectError:
                pass
            await pause(0.05)
        raise AssertionError(f"{target} never answered 200:\n{self.log}")
