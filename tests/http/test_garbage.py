"""A check leaves no reference cycle, so that nothing waits for the garbage collector."""

from __future__ import annotations

import gc
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.tcp import Client, Connector
from twisted.trial.unittest import TestCase

from pypinger.domain.model import Answer, NoAnswer
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire.connection import Connection
from pypinger.http.wire.endpoint import Opening
from pypinger.http.wire.reader import ResponseReader
from tests.http.faults import REPORT, answer, bare
from tests.http.faultserver import CLOSE, RESET, STALL, FaultServer, Script, full_backlog
from tests.http.test_faults import task
from tests.http.test_tls import CA, GOOD, Server

#: Objects that must not wait for the garbage collector.
OURS = (Connection, ResponseReader, Opening, Client, Connector)


class Garbage(TestCase):
    """Over real sockets."""

    unmeasured = True

    async def left_by(
        self,
        script: Script,
        context: Any = None,
        wanted: type[Answer | NoAnswer] = Answer,
        port: int | None = None,
        **more: Any,
    ) -> set[str]:
        """
        Return the names of those :data:`OURS` that only the garbage collector frees after a check.

        :param port: what is checked instead of a server with this script.
        """
        server = FaultServer(script)
        self.addCleanup(server.listen(context).stopListening)
        fetcher = TaskFetcher(reactor)
        # Both collections look only at what is made from now on.
        gc.freeze()
        self.addCleanup(gc.unfreeze)
        self.addCleanup(lambda: Deferred.fromCoroutine(fetcher.close()))
        scheme = "http" if context is None else "https"
        checked = task(f"{scheme}://127.0.0.1:{port or server.port}/", **more)
        await fetcher.fetch(checked)  # what is made once
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            found = await fetcher.fetch(checked)
            await server.all_closed()
            gc.collect()
            garbage = {type(each).__name__ for each in gc.garbage if isinstance(each, OURS)}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        self.assertIsInstance(found, wanted)
        return garbage

    async def test_closed_by_the_server(self) -> None:
        script = (answer(REPORT, b"Connection: close"), CLOSE)
        self.assertEqual(set(), await self.left_by(script))

    async def test_ended_by_the_close(self) -> None:
        self.assertEqual(set(), await self.left_by((bare(b"Connection: close"), CLOSE)))

    async def test_tls(self) -> None:
        ca_file = self.mktemp()
        CA.cert_pem.write_to_path(ca_file)
        script = (answer(REPORT, b"Connection: close"), CLOSE)
        self.assertEqual(set(), await self.left_by(script, Server(GOOD), ca_file=ca_file))

    async def test_too_slow(self) -> None:
        self.assertEqual(set(), await self.left_by((STALL,), wanted=NoAnswer, timeout=0.02))

    async def test_refused(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            self.assertEqual(set(), await self.left_by((), wanted=NoAnswer, port=port))

    async def test_never_connected(self) -> None:
        with full_backlog() as port:
            self.assertEqual(set(), await self.left_by((), wanted=NoAnswer, port=port, timeout=0.02))

    async def test_broken(self) -> None:
        for script in ((b"nonsense",), (RESET,), (bare(), RESET)):
            self.assertEqual(set(), await self.left_by(script, wanted=NoAnswer))

    async def test_not_trusted(self) -> None:
        self.assertEqual(set(), await self.left_by((answer(), CLOSE), Server(GOOD), NoAnswer))
