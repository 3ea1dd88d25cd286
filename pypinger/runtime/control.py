"""
The control socket: commands of local users to the running daemon (contract, section 9).

One request a connection: a line of JSON, ``{"command": ..., "arguments": {...}, "by": ...}``, perhaps with one file
descriptor passed beside it, answered by one line, ``{"result": ...}`` or ``{"error": "..."}``. Who may connect is
decided by the mode of the socket; who asks is the login name that the request gives.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IFileDescriptorReceiver, IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pypinger.ports.sharing import LeaseLost

#: The name of the socket in its directory.
NAME = "pypinger.sock"

#: Owner and group may connect.
MODE = 0o660

#: Bytes of a request.
LARGEST = 65_536

#: Seconds that a request may take to arrive whole.
PATIENCE_SECONDS = 10.0


class CommandError(Exception):
    """A command cannot be carried out; ``str()`` is one line that says why."""


class CommandRequest(msgspec.Struct):
    """
    A command as it arrived.

    :ivar by: the login name of who asks.
    """

    command: str
    arguments: dict[str, Any] = {}
    by: str = ""


class Call(msgspec.Struct):
    """
    A command for its handler.

    :ivar descriptor: the file descriptor passed with the request; the handler may use it until its result is there.
    """

    arguments: dict[str, Any]
    by: str
    descriptor: int | None

    def text(self, name: str, default: str | None = None) -> str:
        """
        An argument that is a text.

        :raises CommandError: it is missing, and there is no default.
        """
        value = self.arguments.get(name, default)
        if not isinstance(value, str):
            raise CommandError(f"the argument {name} is missing")
        return value


#: Carries out a command.
Handler = Callable[[Call], Awaitable[object]]


class ControlService(Service):
    """
    Listens on the control socket for as long as it runs.

    :param path: where the socket is made.
    :param handlers: command -> what carries it out.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: str, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._reactor = reactor
        self._handlers = handlers
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Listen; where that fails, say so and do without."""
        super().startService()
        reactor: IReactorUNIX = self._reactor
        try:
            remove_stale(self.path)
            self._port = reactor.listenUNIX(self.path, _Factory(self._reactor, self._handlers), mode=MODE)
        except Exception as error:
            words = str(error).partition("\n")[0] or type(error).__name__
            self._log.error("no commands are taken: cannot listen on {path}: {words}", path=self.path, words=words)

    def stopService(self) -> Deferred[None] | None:
        """Stop listening; the socket is removed."""
        super().stopService()
        port, self._port = self._port, None
        if port is None:
            return None
        stopped: Deferred[None] | None = port.stopListening()
        return stopped


def remove_stale(path: str) -> None:
    """
    Remove a socket that a killed daemon left.

    :raises OSError: a daemon listens there, or there is something else at this path.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        if not os.path.islink(path) and not os.path.isfile(path):
            os.unlink(path)
            return
        raise OSError("there is another file of this name") from None
    raise OSError("another daemon listens there")


class _Factory(Factory):
    noisy = False

    def __init__(self, reactor: Any, handlers: Mapping[str, Handler]) -> None:
        self.reactor = reactor
        self.handlers = handlers

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return _Conversation(self.reactor, self.handlers)


@implementer(IFileDescriptorReceiver)
class _Conversation(Protocol):
    """One connection: a request, its answer."""

    _log = Logger()

    def __init__(self, reactor: Any, handlers: Mapping[str, Handler]) -> None:
        self._reactor = reactor
        self._handlers = handlers
        self._received = b""
        self._descriptor: int | None = None
        self._patience: IDelayedCall | None = None
        self._running: Deferred[None] | None = None

    def connectionMade(self) -> None:
        self._patience = self._reactor.callLater(PATIENCE_SECONDS, self._give_up)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self._close_descriptor()
        self._descriptor = descriptor

    def dataReceived(self, data: bytes) -> None:
        if self._running is not None:
            return
        self._received += data
        line, end, _ = self._received.partition(b"\n")
        if not end:
            if len(self._received) > LARGEST:
                self._answer({"error": "the request is too large"})
            return
        self._stop_waiting()
        self._running = Deferred.fromCoroutine(self._carry_out(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()
        # What was begun is finished: a silence that is being stored must not depend on who still listens.
        if self._running is None:
            self._close_descriptor()

    async def _carry_out(self, line: bytes) -> None:
        try:
            self._answer({"result": await self._call(line)})
        except (CommandError, LeaseLost) as error:
            self._answer({"error": str(error)})
        except Exception:
            self._log.failure("unexpected error in a command")
            self._answer({"error": "unexpected error; the log has the details"})
        finally:
            self._close_descriptor()

    async def _call(self, line: bytes) -> object:
        try:
            request = msgspec.json.decode(line, type=CommandRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise CommandError("this is no request of the pypinger command") from None
        handler = self._handlers.get(request.command)
        if handler is None:
            raise CommandError(f"the daemon does not know the command {request.command!r}; is it of another version?")
        return await handler(Call(request.arguments, request.by[:100], self._descriptor))

    def _answer(self, answer: dict[str, object]) -> None:
        if self.transport is not None:
            self.transport.write(msgspec.json.encode(answer) + b"\n")
            self.transport.loseConnection()

    def _give_up(self) -> None:
        self._patience = None
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
