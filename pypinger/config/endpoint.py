"""
Checks of a Twisted server endpoint string, so that the daemon can listen there.

Nothing is opened, and no reactor is needed. Whether the port is busy or needs privileges shows at the start.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Mapping

from twisted.internet.endpoints import serverFromString

#: The longest name of a UNIX socket, in bytes.
MAX_SOCKET_NAME = 107

_SPLIT = re.compile(r"(?:[^:\\]|\\.)*")
_KEYWORD = re.compile(r"([a-zA-Z]+)=(.*)", re.DOTALL)
_LOOPBACK = re.compile(r"127\.[0-9.]+|localhost|::1")
_ALL = "0.0.0.0"  # noqa: S104 nothing is bound to it here
_WITH_BACKLOG = ("tcp", "tcp6", "ssl", "unix")
_SYSTEMD_DOMAINS = ("INET", "INET6", "UNIX")

#: The parameters that may be given by position.
_POSITIONS = {
    "tcp": ("port", "interface"),
    "tcp6": ("port", "interface"),
    "ssl": ("port",),
    "tls": ("port",),
    "unix": ("address",),
    "systemd": ("domain",),
}


def endpoint_problem(text: str) -> str:
    """Return what is wrong with a server endpoint string, as the rest of a sentence; empty if nothing."""
    kind, parameters = _parse(text)
    port = parameters.get("port", "")
    if kind in ("tcp", "tcp6", "ssl", "tls") and re.fullmatch("-?[0-9]+", port) and not 0 <= int(port[:9]) <= 65_535:
        return "must have a port from 0 to 65535"
    said = _parser_problem(text, kind, parameters)
    if said:
        return f'must be a Twisted server endpoint such as "tcp:3002:interface=127.0.0.1" ({said})'
    if kind == "unix":
        return _socket_problem(parameters.get("address", ""))
    interface = parameters.get("interface", "")
    return _interface_problem(interface) if kind in ("tcp", "tcp6") and interface else ""


def is_loopback(text: str) -> bool:
    """Whether only this machine can connect to a server endpoint over TCP."""
    _, parameters = _parse(text)
    return _LOOPBACK.fullmatch(parameters.get("interface", "")) is not None


def port_of(text: str) -> str:
    """The TCP port of a server endpoint; empty if it has none."""
    return _parse(text)[1].get("port", "")


def overlap(one: str, other: str) -> bool:
    """Whether two server endpoints can never be in use at once: they have the same port of an IPv4 address."""
    (kind, first), (other_kind, second) = _parse(one), _parse(other)
    if not {kind, other_kind} <= {"tcp", "ssl"} or first.get("port") != second.get("port"):
        return False
    interfaces = {parameters.get("interface", "") or _ALL for parameters in (first, second)}
    everywhere = _ALL in interfaces and not any(":" in interface for interface in interfaces)
    return first["port"] != "0" and (len(interfaces) == 1 or everywhere)


def with_backlog(text: str, backlog: int) -> str:
    """Return a server endpoint string with room for so many clients that connect at once, unless it says how many."""
    kind, parameters = _parse(text)
    if kind not in _WITH_BACKLOG or "backlog" in parameters:
        return text
    return f"{text}:backlog={backlog}"


def _parse(text: str) -> tuple[str, Mapping[str, str]]:
    """Return the kind of endpoint and its parameters."""
    pieces = [match.group() for match in _SPLIT.finditer(text)]
    kind, *rest = [piece for index, piece in enumerate(pieces) if index == 0 or piece]
    parameters: dict[str, str] = {}
    names = iter(_POSITIONS.get(kind, ()))
    for piece in rest:
        keyword = _KEYWORD.fullmatch(piece)
        name, value = keyword.groups() if keyword else (next(names, ""), piece)
        parameters.setdefault(name, re.sub(r"\\(.)", r"\1", value))
    return kind, parameters


def _parser_problem(text: str, kind: str, parameters: Mapping[str, str]) -> str:
    """Return what Twisted's parser says against `text`; empty if nothing."""
    try:
        serverFromString(None, text)
    except LookupError:
        # The string is valid, but systemd has not passed the socket: this process may not be the service.
        if kind == "systemd" and parameters.get("domain") in _SYSTEMD_DOMAINS:
            return ""
        return f"systemd needs a domain: {', '.join(_SYSTEMD_DOMAINS)}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    except TypeError:
        return "missing, unknown or too many arguments"
    except Exception as error:  # endpoint parsers, plugins among them, may raise anything
        if text.endswith("\\"):
            return "a backslash must precede another character"
        # The argument, since the text of a KeyError has quotes.
        return str(error.args[0] if error.args else "").partition("\n")[0] or type(error).__name__
    return ""


def _socket_problem(address: str) -> str:
    if len(os.fsencode(address)) > MAX_SOCKET_NAME:
        return f"must have a path of at most {MAX_SOCKET_NAME} bytes"
    directory = os.path.dirname(address) or "."
    try:
        if stat.S_ISDIR(os.stat(directory).st_mode):
            return ""
    except PermissionError:
        return ""  # The service may have more permissions.
    except (OSError, ValueError):
        pass
    return f"must have a path in a directory; there is none at {directory}"


def _interface_problem(interface: str) -> str:
    try:
        found = socket.getaddrinfo(interface, 0, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (socket.gaierror, UnicodeError, ValueError):
        return f"must have an address of this machine as its interface; {interface} is unknown"
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return f"must have an address of this machine as its interface, not {interface}"
    return ""
