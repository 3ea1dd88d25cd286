"""Asking the running daemon over its control socket (contract, section 9)."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

#: Where the socket is looked for, after ``--socket`` and ``$PYPINGER_SOCKET``.
PLACES = ("/run/pypinger/pypinger.sock", "pypinger.sock")

#: Seconds that the daemon may take; a drill waits for every channel.
PATIENCE_SECONDS = 60.0


class NoDaemon(Exception):
    """No daemon answers; ``str()`` is one line that says where it was looked for."""


class Refused(Exception):
    """The daemon did not carry out a command; ``str()`` is its answer."""


def find(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """
    Find the socket.

    :param given: the value of ``--socket``.
    :raises NoDaemon: there is none in the usual places.
    """
    named = given or environ.get("PYPINGER_SOCKET")
    if named:
        return named
    for place in PLACES:
        if os.path.exists(place):
            return place
    raise NoDaemon(f"no daemon runs here: there is neither {' nor '.join(PLACES)}; name its socket with --socket")


def ask(path: str, command: str, arguments: Mapping[str, object], descriptors: Sequence[int] = ()) -> Any:
    """
    Have the daemon carry out a command.

    :param descriptors: passed with the request.
    :returns: the result, as JSON has it.
    :raises NoDaemon: it cannot be reached.
    :raises Refused: it says why not.
    """
    request = json.dumps({"command": command, "arguments": arguments, "by": login()}).encode() + b"\n"
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(path)
            if descriptors:
                socket.send_fds(connection, [request], list(descriptors))
            else:
                connection.sendall(request)
            while piece := connection.recv(65_536):
                answer += piece
    except TimeoutError:
        raise NoDaemon(f"the daemon at {path} did not answer within {PATIENCE_SECONDS:g} s") from None
    except OSError as error:
        raise NoDaemon(f"no daemon answers at {path}: {_words(error)}") from None
    try:
        result = json.loads(answer)
        if "error" in result:
            raise Refused(str(result["error"]))
        return result["result"]
    except (ValueError, KeyError, TypeError):
        raise NoDaemon(f"what listens at {path} is no Py Pinger, or it was stopped meanwhile") from None


def login() -> str:
    """The login name of who types the command; that of ``sudo``'s caller where it is used."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _words(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied; it is for its owner and its group (docs/commands.md)"
    return error.strerror or str(error)
