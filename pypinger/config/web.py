"""The ``[web]`` section."""

from __future__ import annotations

import re

from twisted.internet.endpoints import serverFromString

from pypinger.config.section import SectionReader, about_url
from pypinger.config.settings import WebSettings
from pypinger.domain import url as urls

#: The warning about pages on the loopback interface that any web site could read by DNS rebinding.
ANY_HOST = (
    "empty, so pages on the loopback interface answer to any host name; set it to localhost, 127.0.0.1, for example"
)

_LOOPBACK = re.compile(r":interface=(?:127\.[0-9.]+|localhost|\\:\\:1)(?::|\Z)")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\.?\Z|\[[0-9a-f:.]+\]\Z")
_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?([0-9]+)(?::|\Z)")
_SYSTEMD_DOMAIN = re.compile(r":(?:domain=)?(?:INET6?|UNIX)(?::|\Z)")


def read(section: SectionReader) -> WebSettings:
    defaults = WebSettings()
    endpoint = section.text("endpoint", defaults.endpoint)
    words = endpoint_problem(endpoint)
    if words and "endpoint" not in section.unresolved:
        section.problem("endpoint", f"{section.quoted('endpoint')} {words}")
    hosts, public_url = _hosts(section), _public_url(section)
    if not hosts and not public_url and _LOOPBACK.search(endpoint):
        section.warn("hosts", ANY_HOST)
    return WebSettings(endpoint=endpoint, hosts=hosts, public_url=public_url)


def endpoint_problem(text: str) -> str:
    """Return what is wrong with a server endpoint string; empty if nothing. No port is opened, no reactor is needed."""
    port = _PORT.match(text)
    if port and not int(port.group(1)[:9]) <= 65_535:
        return "must have a port from 0 to 65535"
    try:
        serverFromString(None, text)
    except LookupError:
        # The string is valid, but systemd has not passed the socket: this process may not be the service.
        said = "" if _SYSTEMD_DOMAIN.search(text) else "systemd needs a domain: INET, INET6 or UNIX"
    except Exception as error:  # endpoint parsers, plugins among them, may raise anything
        # The argument, since the text of a KeyError has quotes.
        said = str(error.args[0] if error.args else "").partition("\n")[0] or type(error).__name__
    else:
        return ""
    return f'must be a Twisted server endpoint such as "tcp:3002:interface=127.0.0.1" ({said})' if said else ""


def _hosts(section: SectionReader) -> tuple[str, ...]:
    hosts: dict[str, None] = {}
    for line, text in section.lines("hosts"):
        for host in text.lower().replace(",", " ").split():
            if _HOST.match(host):
                hosts[host.rstrip(".")] = None
            else:
                words = "must be a host name, such as status.example.com, without scheme, port or path"
                section.problem("hosts", f"{urls.label(host)} {words}", line=line)
    return tuple(hosts)


def _public_url(section: SectionReader) -> str:
    value = section.url("public_url")
    if not value or "public_url" in section.unresolved:
        return ""
    if "?" in value or "#" in value or urls.parse(value).credentials is not None:
        words = "the URL must have no user name, query or fragment"
        section.problem("public_url", about_url(value, words))
        return ""
    return value.rstrip("/")
