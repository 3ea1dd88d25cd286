"""
URLs: the one parser that the configuration, the HTTP client and the pages use.

A task's URL is its identity: people look the task up by it, so :attr:`Url.text` keeps it as configured, without
userinfo and fragment and without normalisation. The other members say how it goes over the wire: host in ASCII, target
percent-encoded.
"""

from __future__ import annotations

import ipaddress
import re
from hashlib import blake2b
from urllib.parse import unquote, urljoin

import idna
import msgspec

#: The longest URL accepted, in characters; most servers refuse longer request lines.
MAX_LENGTH = 8192

#: The longest host name in ASCII, in characters (RFC 1035), without a final dot.
MAX_HOST = 253

DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LABEL = re.compile(r"[a-z0-9_~-]{1,63}")
_PORT = re.compile(r"[0-9]{1,5}")
_UNSAFE = re.compile(rb"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~|^{}`\"<>\\]")


class UrlError(ValueError):
    """The URL cannot be fetched; ``str()`` says why and holds no part of the URL."""


class Url(msgspec.Struct, frozen=True, gc=False):
    """
    A valid http or https URL.

    :ivar text: as configured, without userinfo and fragment; a task's identity.
    :ivar scheme: ``http`` or ``https``.
    :ivar host: in lower case and ASCII, an IPv6 address without its brackets.
    :ivar is_ip: whether `host` is an IP address.
    :ivar target: path and query as they go into the request line.
    :ivar credentials: ``user:password``, percent-decoded; None without userinfo. Secret.
    :ivar label: `text` with its query replaced by ``?…``; may be logged and sent.
    """

    text: str
    scheme: str
    host: str
    port: int
    is_ip: bool
    target: bytes
    credentials: str | None
    label: str

    @property
    def id(self) -> str:
        """See :func:`task_id`."""
        return task_id(self.text)

    @property
    def peer(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """``scheme://host:port``, the port always given. Credentials never leave it."""
        return f"{self.scheme}://{self.peer}"

    @property
    def host_header(self) -> bytes:
        """The value of ``Host``: without the default port and an IPv6 zone."""
        shown = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return (shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}").encode("ascii")

    @property
    def absolute(self) -> bytes:
        """The URL as sent to a proxy: ASCII, without userinfo and fragment."""
        return b"%s://%s%s" % (self.scheme.encode("ascii"), self.host_header, self.target)


def parse(text: str, *, longest: int | None = MAX_LENGTH) -> Url:
    """
    Parse a URL: ``http`` or ``https`` in any letter case, a host, the rest optional.

    :param longest: how many characters it may have; None for what was parsed before, as percent-encoding lengthens it.
    :raises UrlError: it cannot be fetched.
    """
    if longest is not None and len(text) > longest:
        raise UrlError(f"the URL is longer than {longest:,} characters")
    if not text:
        raise UrlError("the URL is empty")
    if not text.isprintable() or " " in text:
        raise UrlError("the URL contains a space or an invisible character")
    match = _URL.fullmatch(text)
    if match is None:
        raise UrlError("the URL must start with http:// or https://")
    given_scheme, authority, path, query = match.groups("")
    scheme = given_scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise UrlError("the URL's scheme must be http or https")
    userinfo, _, place = authority.rpartition("@")
    given_host, given_port = _split_authority(place)
    host, is_ip = _host(given_host)
    shown = f"{given_scheme}://{place}{path}"
    return Url(
        text=f"{shown}{query}",
        scheme=scheme,
        host=host,
        port=_port(given_port, DEFAULT_PORTS[scheme]),
        is_ip=is_ip,
        target=_UNSAFE.sub(_percent, ((path or "/") + query).encode("utf-8", "surrogateescape")),
        credentials=_credentials(userinfo),
        label=f"{shown}?…" if len(query) > 1 else f"{shown}{query}",
    )


def join(base: Url, location: bytes) -> Url:
    """
    Resolve the value of a ``Location`` header; its userinfo is dropped.

    :raises UrlError: the result cannot be fetched.
    """
    relative = location.decode("utf-8", "surrogateescape").strip(" \t\r\n")
    if len(relative) > MAX_LENGTH:
        raise UrlError(f"the URL is longer than {MAX_LENGTH:,} characters")
    try:
        text = urljoin(base.absolute.decode("ascii"), relative)
    except ValueError:
        raise UrlError("the URL must start with http:// or https://") from None
    match = _URL.fullmatch(text)
    if match is not None:
        _, authority, path, query = match.groups("")
        target = _UNSAFE.sub(_percent, (path + query).encode("utf-8", "surrogateescape")).decode("ascii")
        text = f"{match['scheme']}://{authority.rpartition('@')[2]}{target}"
    return parse(text, longest=None)


def task_id(url: str) -> str:
    """Return twelve hex digits that identify the task with this URL; they never change."""
    return blake2b(url.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def label(text: str) -> str:
    """
    Return a URL as it may be logged and sent: without userinfo and fragment, its query replaced by ``?…``.

    Any text is accepted. Of a text that is no valid URL only what cannot be a secret is kept, at most 200 characters.
    """
    try:
        return parse(text).label
    except UrlError:
        pass
    if "@" in text:
        # Where the userinfo of a broken URL ends is unknown.
        scheme = _SCHEME.match(text)
        return f"{scheme.group() if scheme else ''}…"
    shown, mark, _ = text.partition("#")[0].partition("?")
    if len(shown) > 200:
        shown, mark = shown[:200], "…"
    elif mark:
        mark = "?…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown) + mark


def origin(text: str) -> str:
    """
    Return ``scheme://host:port`` of a URL.

    :raises UrlError: as :func:`parse`.
    """
    return parse(text).origin


def is_ip_address(host: str) -> bool:
    """Whether `host` is an IP address, so that no name has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name: ``localhost``, or an address of the loopback interface."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _split_authority(place: str) -> tuple[str, str]:
    if not place.startswith("["):
        host, _, port = place.partition(":")
        return host, port
    host, bracket, rest = place.partition("]")
    if not bracket or (rest and not rest.startswith(":")):
        raise UrlError("the URL's IPv6 address is not closed by a bracket before the port or path")
    return f"{host}]", rest[1:]


def _port(text: str, default: int) -> int:
    if not text:
        return default
    # Only ASCII digits: int() accepts others, and signs.
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65_535:
        raise UrlError("the URL's port must be a number from 1 to 65535")
    return int(text)


def _host(text: str) -> tuple[str, bool]:
    if text.startswith("["):
        literal = text[1:-1].replace("%25", "%").lower()
        if not literal.isascii() or ":" not in literal or not is_ip_address(literal):
            raise UrlError("the URL's host is no valid IPv6 address")
        return literal, True
    if not text:
        raise UrlError("the URL has no host")
    if is_ip_address(text) and ":" not in text:
        return text, True
    return (_ascii_name if text.isascii() else _international_name)(text), False


def _ascii_name(text: str) -> str:
    host = text.lower().removesuffix(".")
    if len(host) > MAX_HOST or not all(_LABEL.fullmatch(each) for each in host.split(".")):
        raise UrlError("the URL's host name is not valid")
    return host


def _international_name(text: str) -> str:
    if len(text) <= 4 * MAX_HOST:
        try:
            labels = idna.uts46_remap(text, std3_rules=False, transitional=False).removesuffix(".").split(".")
            # IDNA knows no underscore, but ASCII labels in use have it.
            return _ascii_name(
                ".".join(each if each.isascii() else idna.encode(each).decode("ascii") for each in labels)
            )
        except UnicodeError:  # the errors of idna among them, and not UrlError
            pass
    raise UrlError("the URL's host is no valid internationalised name")


def _credentials(userinfo: str) -> str | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    try:
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise UrlError("the URL's user name or password is not percent-encoded UTF-8") from None
    if ":" in user:
        # HTTP Basic (RFC 7617) cannot tell where the password starts.
        raise UrlError("the URL's user name contains a colon")
    return f"{user}:{password}"


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
