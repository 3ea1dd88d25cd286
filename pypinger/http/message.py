"""
Bytes of answers in, answers out, and every limit on the way: the part of the client that hostile bytes meet first.

Stands on the C parser of httptools and knows no transport: :mod:`~pypinger.http.connection` feeds it. One reader serves
one connection, answer after answer.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pypinger.domain.model import Fault
from pypinger.http import encoding
from pypinger.http.errors import ExchangeFailed, excerpt
from pypinger.http.limits import Limits

#: The codes of redirects that can be followed.
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_VERSIONS = {"1.1": (b"HTTP", 1, 1), "1.0": (b"HTTP", 1, 0)}
_BODYLESS = frozenset({204, 304})
_NEEDED = frozenset({b"content-encoding", b"content-length", b"location", b"transfer-encoding"})
_NEEDED_LENGTHS = frozenset(map(len, _NEEDED))


class _Enough(Exception):
    """Stops the parser: nothing more of this answer is wanted."""


_ENOUGH = _Enough()


def _broken(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.BROKEN, words)


def _too_large(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.TOO_LARGE, words)


class ResponseReader:
    """
    Reads one answer at a time.

    :ivar code: the status code; 0 until the final answer's headers are complete.
    :ivar headers: names as they came, and values.
    :ivar location: the value of ``Location``, or None.
    :ivar complete: whether the answer is there as a whole, or as much of it as is wanted.
    :ivar reusable: whether the connection may carry another request.
    :ivar closing: whether the server has said that it will close the connection now.
    :ivar received: bytes of this answer so far, as they came over the wire.
    """

    __slots__ = (
        "_bodyless",
        "_decoder",
        "_failure",
        "_follow",
        "_head",
        "_interim",
        "_length",
        "_limits",
        "_needed",
        "_parser",
        "_pieces",
        "_size",
        "_until_close",
        "closing",
        "code",
        "complete",
        "headers",
        "location",
        "phrase",
        "received",
        "reusable",
        "version",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = HttpResponseParser(self)
        # Scripts that print their headers end lines as their system does; every client takes that.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self.code = self.received = 0

    def begin(self, *, bodyless: bool = False, follow: bool = False) -> None:
        """
        A request goes out: be ready for its answer.

        :param bodyless: the answer has no body whatever its headers say (HEAD).
        :param follow: a redirect will be followed, so that its body is of no interest.
        """
        self._bodyless = bodyless
        self._follow = follow
        self._decoder: encoding.Decoder | None = None
        self._failure: ExchangeFailed | None = None
        self._head = 0
        self._interim = 0
        self._length: int | None = None
        self._needed: dict[bytes, list[bytes]] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._until_close = False
        self.closing = False
        self.code = 0
        self.complete = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.location: bytes | None = None
        self.phrase = b""
        self.received = 0
        self.reusable = False
        self.version = (b"HTTP", 1, 1)

    @property
    def body(self) -> bytes:
        """The decoded body."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def stage(self) -> str:
        """How far the answer has come, in words that go on from "still"."""
        if self.code:
            return f"reading the body ({self._size:,} bytes so far)"
        if self.received:
            return f"waiting for the end of the headers ({self.received:,} bytes so far)"
        return "waiting for the headers"

    def feed(self, data: bytes) -> bool:
        """
        Some bytes have come.

        :returns: whether the answer is complete.
        :raises ExchangeFailed: it is broken, or breaks a limit; the connection is of no use any more.
        """
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise _broken("the server changed to another protocol unasked") from None
        except HttpParserError as error:
            if self._failure is not None:
                raise self._failure from None
            if not self.complete:
                raise _broken(f"not a valid HTTP answer: {error}") from None
            self.reusable = self.closing = False  # what follows the answer is no answer
        if self.complete:
            return True
        if self._follow and self.location is not None:
            # Nobody waits for the rest of a redirect; its connection is the price.
            self.complete = True
            return True
        if not self.code and self.received > self._limits.head:
            raise self._head_too_large()
        if self.received > self._limits.raw:
            raise _too_large(f"the answer is larger than {self._limits.raw:,} bytes on the wire")
        return False

    def finish(self) -> None:
        """
        The other side has closed the connection.

        :raises ExchangeFailed: before the end of the answer.
        """
        if not self.code:
            raise _broken(f"the connection was closed in the headers, after {self.received:,} bytes")
        if self._until_close:
            self._end()
        elif self._length is not None:
            raise _broken(f"the connection was closed in the body, after {self._size:,} of {self._length:,} bytes")
        else:
            raise _broken(f"the connection was closed in the body, before its last chunk ({self._size:,} bytes so far)")

    def close(self) -> None:
        """There will be no more to read: let go of the parser, which holds on to the reader."""
        del self._parser

    # What the parser calls

    def on_message_begin(self) -> None:
        """Another answer begins."""
        if self.complete:
            self.reusable = False
            raise _ENOUGH

    def on_status(self, status: bytes) -> None:
        """Part of the reason phrase."""
        self.phrase += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self.code:
            return  # a trailer: its bytes count, but nobody asked for it
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The headers of an answer, interim or final, are complete."""
        code = self._parser.get_status_code()
        self._check_head(code)
        if code < 200:
            self._interim_complete(code)
            return
        version = _VERSIONS.get(self._parser.get_http_version())
        if version is None:
            raise self._fail(_broken("the answer is not HTTP/1.1 or HTTP/1.0"))
        self.version = version
        self.code = code
        needed = self._needed
        if code in REDIRECTS and b"location" in needed:
            self.location = needed[b"location"][0]
        self._frame(code, needed)
        if self._bodyless:
            self.complete = True
            raise _ENOUGH
        if self._follow and self.location is not None:
            return
        if b"content-encoding" in needed:
            try:
                self._decoder = encoding.decoder(needed[b"content-encoding"])
            except ExchangeFailed as error:
                raise self._fail(error) from None
        most = self._limits.body if self._decoder is None else self._limits.raw
        if self._length is not None and self._length > most and not self._limits.cut:
            raise self._fail(self._body_too_large())

    def on_body(self, data: bytes) -> None:
        """Part of the body."""
        if self._follow and self.location is not None:
            return
        room = self._limits.body - self._size
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data, room)
            except ExchangeFailed as error:
                raise self._fail(error) from None
        if len(data) > room:
            if not self._limits.cut:
                raise self._fail(self._body_too_large())
            self._take(data[:room])
            self.complete = True
            raise _ENOUGH
        self._take(data)

    def on_message_complete(self) -> None:
        """The answer, interim or final, is complete."""
        if not self.code:
            return  # an interim answer
        # Asked here, as the parser forgets the answer's headers right after.
        self.reusable = self._parser.should_keep_alive()
        self.closing = not self.reusable
        try:
            self._end()
        except ExchangeFailed as error:
            raise self._fail(error) from None

    # What they share

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        self._pieces.append(data)

    def _end(self) -> None:
        if self._decoder is not None:
            self._decoder.finish()
        self.complete = True

    def _frame(self, code: int, needed: dict[bytes, list[bytes]]) -> None:
        """Find out where the body will end; the parser has already refused what contradicts itself."""
        if code in _BODYLESS:
            return
        transfer = needed.get(b"transfer-encoding")
        if transfer is not None:
            if len(transfer) > 1 or transfer[0].strip().lower() != b"chunked":
                words = f"transfer encoding {excerpt(b', '.join(transfer))!r} is not understood"
                raise self._fail(_broken(words))
        elif b"content-length" in needed:
            self._length = int(needed[b"content-length"][0])
        else:
            self._until_close = True

    def _check_head(self, code: int) -> None:
        """Count, and pick out what is needed; all at once, as a call for each header would cost more."""
        limits, headers = self._limits, self.headers
        # What has come in all may be less than the headers alone may be, as it nearly always is.
        if self.received > limits.head or code < 200:
            self._head += len(self.phrase) + sum([len(name) + len(value) + 4 for name, value in headers])
            if self._head > limits.head:
                raise self._fail(self._head_too_large())
        if len(headers) > limits.headers:
            raise self._fail(_too_large(f"more than {limits.headers} headers"))
        needed: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if len(name) in _NEEDED_LENGTHS:
                name = name.lower()
                if name in _NEEDED:
                    needed.setdefault(name, []).append(value)
        self._needed = needed

    def _interim_complete(self, code: int) -> None:
        if code < 100:
            raise self._fail(_broken(f"status code {code:03} does not exist"))
        self._interim += 1
        if self._interim > self._limits.interim:
            raise self._fail(_broken(f"more than {self._limits.interim} interim answers (1xx)"))
        self.headers = []
        self.phrase = b""
        self._needed = {}

    def _fail(self, failure: ExchangeFailed) -> ExchangeFailed:
        # The parser swallows what its callbacks raise, so it is kept for `feed`.
        self._failure = failure
        return failure

    def _head_too_large(self) -> ExchangeFailed:
        return _too_large(f"headers are larger than {self._limits.head:,} bytes")

    def _body_too_large(self) -> ExchangeFailed:
        return _too_large(f"body is larger than {self._limits.body:,} bytes")
