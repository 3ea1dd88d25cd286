"""The control socket, with real sockets and the client of the ``pypinger`` command."""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from pypinger.cli.remote import NoDaemon, Refused, ask, find
from pypinger.runtime.control import Call, CommandError, ControlService


class ControlTests(TestCase):
    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        # A UNIX socket's path has room for some hundred bytes.
        self.path = os.path.relpath(os.path.join(self.directory, "s"))
        self.calls: list[Call] = []

    def start(self) -> ControlService:
        async def echo(call: Call) -> object:
            self.calls.append(call)
            return {"said": call.text("words")}

        async def refuse(call: Call) -> object:
            raise CommandError("no such task")

        async def break_(call: Call) -> object:
            raise RuntimeError("secret")

        async def write(call: Call) -> object:
            assert call.descriptor is not None
            os.write(call.descriptor, b"copied")
            return None

        handlers: dict[str, Any] = {"echo": echo, "refuse": refuse, "break": break_, "write": write}
        service = ControlService(reactor, self.path, handlers)
        service.startService()
        self.addCleanup(lambda: maybeDeferred(service.stopService))
        return service

    def ask(self, command: str, descriptors: tuple[int, ...] = (), **arguments: object) -> Deferred[Any]:
        return deferToThread(ask, self.path, command, arguments, descriptors)

    async def test_a_command_and_its_result(self) -> None:
        self.start()
        self.assertEqual(await self.ask("echo", words="höi"), {"said": "höi"})
        self.assertTrue(self.calls[0].by)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)

    async def test_what_cannot_be_carried_out_is_one_line(self) -> None:
        self.start()
        for command, words in [
            ("refuse", "no such task"),
            ("echo", "the argument words is missing"),
            ("fly", "does not know the command 'fly'"),
            ("break", "unexpected error; the log has the details"),
        ]:
            failure = await self.assertFailure(self.ask(command), Refused)
            self.assertIn(words, str(failure))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_a_descriptor_of_the_caller(self) -> None:
        self.start()
        path = os.path.join(self.directory, "copy")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, descriptor)
        await self.ask("write", (descriptor,))
        self.assertEqual(os.pread(descriptor, 100, 0), b"copied")

    async def test_garbage(self) -> None:
        self.start()
        for garbage in [b"\xff\n", b"[]\n", b"{}\n", b"[" * 50_000 + b"\n", b"x" * 70_000]:
            answer = await deferToThread(self._send, garbage)
            self.assertIn(b'"error"', answer)
        self.assertEqual(await self.ask("echo", words="still here"), {"said": "still here"})

    def _send(self, data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.path)
            try:
                connection.sendall(data)
            except BrokenPipeError:
                pass
            answer = b""
            while piece := connection.recv(1000):
                answer += piece
            return answer

    async def test_a_socket_that_a_killed_daemon_left_is_replaced(self) -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.path)
        failure = await self.assertFailure(self.ask("echo"), NoDaemon)
        self.assertIn(f"no daemon answers at {self.path}: Connection refused", str(failure))
        self.start()
        self.assertEqual(await self.ask("echo", words="new"), {"said": "new"})

    async def test_a_second_daemon_does_without(self) -> None:
        self.start()
        second = ControlService(reactor, self.path, {})
        await deferToThread(lambda: None)
        second.startService()
        self.assertEqual(await self.ask("echo", words="the first"), {"said": "the first"})
        await maybeDeferred(second.stopService)
        self.assertEqual(await self.ask("echo", words="the first"), {"said": "the first"})


class FindTests(TestCase):
    def test_order(self) -> None:
        self.assertEqual(find("a", {"PYPINGER_SOCKET": "b"}), "a")
        self.assertEqual(find(None, {"PYPINGER_SOCKET": "b"}), "b")

    def test_nothing_there(self) -> None:
        failure = self.assertRaises(NoDaemon, ask, os.path.join(self.mktemp(), "none"), "status", {})
        self.assertIn("no daemon answers at", str(failure))
