"""The ``[web]`` section: where the pages are served, for whom, and where people reach them."""

from __future__ import annotations

import re

from twisted.internet.endpoints import serverFromString

from pypinger.config.section import Section
from pypinger.config.settings import WebSettings
from pypinger.domain import url as urls

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\.?\Z|\[[0-9a-f:.]+\]\Z")
_PORT = re.compile(r"(?:tcp6?|ssl|tls):(?:port=)?([0-9]+)(?::|\Z)")
_SYSTEMD_DOMAIN = re.compile(r":(?:domain=)?(?:INET6?|UNIX)(?::|\Z)")


def read(section: Section) -> WebSettings:
    """The settings of the section."""
    defaults = WebSettings()
    endpoint = section.text("endpoint", defaults.endpoint)
    words = endpoint_problem(endpoint)
    if words:
        section.problem("endpoint", words)
    return WebSettings(endpoint=endpoint, hosts=_hosts(section), public_url=_public_url(section))


def endpoint_problem(text: str) -> str:
    """What is wrong with a server endpoint string; empty if nothing. Nothing is opened, and no reactor is needed."""
    port = _PORT.match(text)
    if port and not int(port.group(1)[:9]) <= 65_535:
        return "the port must be from 0 to 65535"
    try:
        serverFromString(None, text)
    except LookupError:
        # The string is sound, but systemd has not passed the socket: this may be another process than the service.
        said = "" if _SYSTEMD_DOMAIN.search(text) else "systemd needs a domain: INET, INET6 or UNIX"
    except Exception as error:  # parsers, and plugins with parsers, raise whatever they like
        # The argument, since a KeyError's text is quoted.
        said = str(error.args[0] if error.args else "").partition("\n")[0] or type(error).__name__
    else:
        return ""
    return f'must be a Twisted server endpoint such as "tcp:3002:interface=127.0.0.1" ({said})' if said else ""


def _hosts(section: Section) -> tuple[str, ...]:
    hosts: dict[str, None] = {}
    for line, text in section.lines("hosts"):
        for host in text.lower().replace(",", " ").split():
            if _HOST.match(host):
                hosts[host.rstrip(".")] = None
            else:
                words = "must be names of hosts, such as status.example.com, without scheme, port or path"
                section.problem("hosts", words, line=line)
    return tuple(hosts)


def _public_url(section: Section) -> str:
    value = section.url("public_url")
    if not value:
        return ""
    if "?" in value or "#" in value or urls.parse(value).credentials is not None:
        section.problem("public_url", "must be a URL without user name, query and fragment")
        return ""
    return value.rstrip("/")
