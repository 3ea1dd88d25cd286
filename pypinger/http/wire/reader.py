"""
Reads answers from bytes and enforces every limit on them; hostile bytes meet this part of the client first.

It uses the C parser of httptools and knows no transport: :mod:`~pypinger.http.wire.connection` feeds it. One reader
serves one connection, answer after answer.
"""

from __future__ import annotations

from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from pypinger.domain.model import Fault
from pypinger.http.wire.encoding import Body
from pypinger.http.wire.errors import ExchangeFailed, excerpt
from pypinger.http.wire.lenient import Rewriter
from pypinger.http.wire.limits import Limits

#: The codes of redirects that can be followed.
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_VERSIONS = {"1.1": (b"HTTP", 1, 1), "1.0": (b"HTTP", 1, 0)}
_BODYLESS = frozenset({204, 304})
_NEEDED = frozenset({b"content-encoding", b"content-length", b"location", b"transfer-encoding"})
_NEEDED_LENGTHS = frozenset(map(len, _NEEDED))


class _Enough(Exception):
    """Stops the parser: the rest of the answer is not needed."""


_ENOUGH = _Enough()


class _NotStrict(ExchangeFailed):
    """The strict parser refuses the answer; other clients may read it."""


class ResponseReader:
    """
    Reads one answer at a time.

    :ivar code: the status code; 0 until the final answer's headers are complete.
    :ivar headers: names as received, and values.
    :ivar complete: whether all that is needed of the answer was read.
    :ivar reusable: whether the connection can carry another request.
    :ivar closing: whether the server has announced that it closes the connection.
    :ivar received: bytes of this answer so far, as received.
    """

    __slots__ = (
        "_body",
        "_bodyless",
        "_failure",
        "_head",
        "_interim",
        "_length",
        "_limits",
        "_needed",
        "_parser",
        "_raw",
        "_refused",
        "_rewriter",
        "_skip",
        "_until_close",
        "closing",
        "code",
        "complete",
        "headers",
        "phrase",
        "received",
        "reusable",
        "version",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = self._new_parser()
        self.code = self.received = 0

    def begin(self, *, bodyless: bool = False) -> None:
        """
        Get ready for the answer to a request.

        :param bodyless: the answer has no body, although its headers may announce one (HEAD).
        """
        self._raw: list[bytes] = []
        self._rewriter: Rewriter | None = None
        self.received = 0
        self._reset(bodyless)

    def _reset(self, bodyless: bool) -> None:
        self._bodyless = bodyless
        self._body = Body(self._limits)
        self._failure: ExchangeFailed | None = None
        self._head = 0
        self._interim = 0
        self._length: int | None = None
        self._needed: dict[bytes, list[bytes]] = {}
        self._refused = ""
        self._skip = False
        self._until_close = False
        self.closing = False
        self.code = 0
        self.complete = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.phrase = b""
        self.reusable = False
        self.version = (b"HTTP", 1, 1)

    @property
    def body(self) -> bytes:
        """The decoded body."""
        return self._body.content

    @property
    def stage(self) -> str:
        """What the exchange waits for, in words that follow "while"."""
        if self.code:
            return f"reading the body ({self._body.size:,} bytes so far)"
        if self.received:
            return f"waiting for the end of the headers ({self.received:,} bytes so far)"
        return "waiting for the headers"

    def feed(self, data: bytes) -> bool:
        """
        Read some bytes.

        :returns: whether the answer is complete.
        :raises ExchangeFailed: it is broken or breaks a limit; the connection cannot be used again.
        """
        self.received += len(data)
        if self._rewriter is None:
            self._raw.append(data)
        else:
            data = self._rewriter.feed(data)
        try:
            self._parse(data)
        except _NotStrict:
            if self._rewriter is not None:
                raise
            self._parse_leniently()
        if self.complete:
            self._raw = []
            return True
        if self._skip:
            # The rest of a redirect is not needed; not to wait for it costs the connection.
            self.complete = True
            return True
        if not self.code and self.received > self._limits.head:
            raise self._head_too_large()
        if self.received > self._limits.raw:
            raise _too_large(f"the answer is larger than {self._limits.raw:,} bytes on the wire")
        return False

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise _broken("the server changed to another protocol unasked") from None
        except HttpParserError as error:
            if self._failure is not None:
                raise self._failure from None
            if not self.complete:
                raise _NotStrict(Fault.BROKEN, self._refused or f"not a valid HTTP answer: {error}") from None
            self.reusable = self.closing = False  # what follows the answer is not HTTP

    def _parse_leniently(self) -> None:
        """Read the answer again from its beginning, as other clients do."""
        raw, self._raw = b"".join(self._raw), []
        self._rewriter = Rewriter()
        self._parser = self._new_parser()
        self._reset(self._bodyless)
        self._parse(self._rewriter.feed(raw))

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # Scripts end header lines as their system does, and every client accepts that.
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        return parser

    def finish(self) -> None:
        """
        End the answer with the connection.

        :raises ExchangeFailed: the answer is incomplete.
        """
        if not self.code:
            raise _broken(f"the connection was closed in the headers, after {self.received:,} bytes")
        if self._until_close:
            self._body.finish()
            self.complete = True
        elif self._length is not None:
            raise _broken(f"the connection was closed in the body, after {self._body.size:,} of {self._length:,} bytes")
        else:
            raise _broken(
                f"the connection was closed in the body, before its last chunk ({self._body.size:,} bytes so far)"
            )

    def close(self) -> None:
        """Break the cycle between the reader and its parser."""
        del self._parser

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        """Stop at the beginning of a second answer."""
        if self.complete:
            self.reusable = False
            raise _ENOUGH

    def on_status(self, status: bytes) -> None:
        """Read a part of the reason phrase."""
        self.phrase += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header; trailers are dropped, and their bytes count."""
        if self.code:
            return
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the headers of an interim or final answer."""
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
        self._frame(code, needed)
        if self._bodyless:
            self.complete = True
            raise _ENOUGH
        if code in REDIRECTS and b"location" in needed and not self._limits.redirect_body:
            self._skip = True
            return
        if b"content-encoding" in needed:
            self._guard(self._body.decode, needed[b"content-encoding"])
        if self._length is not None:
            self._guard(self._body.announce, self._length)

    def on_body(self, data: bytes) -> None:
        """Read a part of the body."""
        if self._skip:
            return
        self._guard(self._body.feed, data)
        if self._body.cut:
            self.complete = True
            raise _ENOUGH

    def on_message_complete(self) -> None:
        """End an interim or final answer."""
        if not self.code:
            return  # an interim answer
        # The parser forgets the answer's headers right after this.
        reusable = self._parser.should_keep_alive()
        self._guard(self._body.finish)
        self.complete = True
        self.reusable = reusable and self._rewriter is None and not self._body.lenient
        self.closing = not reusable

    # Helpers

    def _guard(self, function: Callable[..., None], *args: object) -> None:
        try:
            function(*args)
        except ExchangeFailed as error:
            self._failure = error
            raise

    def _frame(self, code: int, needed: dict[bytes, list[bytes]]) -> None:
        """Find out where the body ends; the parser has already refused contradictions."""
        if code in _BODYLESS:
            return
        transfer = needed.get(b"transfer-encoding")
        if transfer is not None:
            if len(transfer) > 1 or transfer[0].strip().lower() != b"chunked":
                self._refused = f"transfer encoding {excerpt(b', '.join(transfer))!r} is not understood"
                raise _ENOUGH
        elif b"content-length" in needed:
            self._length = int(needed[b"content-length"][0])
        else:
            self._until_close = True

    def _check_head(self, code: int) -> None:
        """Check the limits and pick out the headers that are needed, in one pass because that costs less."""
        limits, headers = self._limits, self.headers
        # Nearly always the whole answer is smaller than its headers may be.
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
        # The parser hides what its callbacks raise; `feed` raises it again.
        self._failure = failure
        return failure

    def _head_too_large(self) -> ExchangeFailed:
        return _too_large(f"headers are larger than {self._limits.head:,} bytes")


def _broken(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.BROKEN, words)


def _too_large(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.TOO_LARGE, words)
