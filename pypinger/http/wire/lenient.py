"""
Rewriting answers that only lenient clients read, so that the strict parser reads them too.

curl and Python's ``http.client`` read more than the standard allows (contract, section 3, has the list). The reader
uses this rewriter for an answer that its parser has refused, and does not keep the connection. An answer with two
meanings is passed on as it is, and stays refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: .*)?")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_CHUNK_LINE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")

# NUL and CR stay refused: other clients cut a value there, or refuse it too.
_CONTROLS = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")

_BODYLESS = frozenset({204, 304})

# Other clients ignore these if a space precedes the colon, and read until the server closes.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Rewriter:
    """
    Rewrites one answer, piece by piece.

    It buffers a head until it is complete and a chunk's line until its end; the reader limits both.
    """

    __slots__ = ("_at", "_buffer", "_chunk", "_searched", "_state")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # what of the buffer is read
        self._searched = 0
        self._chunk = 0
        self._state: Callable[[Rewriter], bytes] = Rewriter._head

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on after another piece."""
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        out = []
        while True:
            before = self._at, self._state
            out.append(self._state(self))
            if (self._at, self._state) == before:
                return b"".join(out)

    # States: each reads what it can of the buffer and returns what is passed on

    def _pass(self) -> bytes:
        data = self._buffer[self._at :]
        self._at = len(self._buffer)
        return data

    def _head(self) -> bytes:
        first, newline, _ = self._buffer[self._at :].partition(b"\n")
        if not newline and b"HTTP/1.".startswith(first[:7]):
            return b""
        first = first.removesuffix(b"\r")
        status = _STATUS_LINE.fullmatch(first)
        if status is None or not newline:
            self._state = Rewriter._pass
            return b""
        end = _END_OF_HEAD.search(self._buffer, max(self._at, self._searched - 3))
        self._searched = len(self._buffer) - self._at
        if end is None:
            return b""
        head = self._buffer[self._at : end.start()]
        self._at = end.end()
        self._searched = 0
        lines, chunked = _rewrite(head.split(b"\n")[1:])
        code = int(status[1])
        if 100 <= code < 200 and code != 101:
            self._state = Rewriter._head
        elif chunked and code not in _BODYLESS:
            self._state = Rewriter._chunk_line
        else:
            self._state = Rewriter._pass
        return b"\r\n".join([first, *lines]) + b"\r\n\r\n"

    def _chunk_line(self) -> bytes:
        buffer, at = self._buffer, self._at
        out = []
        # Whole chunks in one loop, as there may be very many of them.
        while (line := _CHUNK_LINE.match(buffer, at)) is not None:
            size, at = int(line[1], 16), line.end()
            end = at + size
            if size and buffer.startswith((b"\r\n", b"\n"), end):
                out.append(b"%x\r\n%b\r\n" % (size, buffer[at:end]))
                at = buffer.find(b"\n", end) + 1
                continue
            self._chunk = size
            self._state = Rewriter._chunk_data if size else Rewriter._trailers
            out.append(b"%x\r\n" % size)
            break
        else:
            if buffer.find(b"\n", at) >= 0:
                self._state = Rewriter._pass
        self._at = at
        return b"".join(out)

    def _chunk_data(self) -> bytes:
        data = self._buffer[self._at : self._at + self._chunk]
        self._at += len(data)
        self._chunk -= len(data)
        if not self._chunk:
            self._state = Rewriter._chunk_end
        return data

    def _chunk_end(self) -> bytes:
        rest = self._buffer[self._at : self._at + 2]
        if rest in (b"", b"\r"):
            return b""
        if rest != b"\r\n" and rest[:1] != b"\n":
            self._state = Rewriter._pass
            return b""
        self._at = self._buffer.find(b"\n", self._at) + 1
        self._state = Rewriter._chunk_line
        return b"\r\n"

    def _trailers(self) -> bytes:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return b""
        line = self._buffer[self._at : end].removesuffix(b"\r")
        self._at = end + 1
        if line:
            return b""
        self._state = Rewriter._pass
        return b"\r\n"


def _rewrite(lines: Sequence[bytes]) -> tuple[list[bytes], bool]:
    """
    Rewrite header lines.

    :returns: the lines, and whether the body is chunked.
    """
    headers = _unfolded(lines)
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    chunked = False
    framing: list[tuple[bytes, bytes]] = []
    if codings:
        names = {name.strip().lower() for value in codings for name in value.split(b",")} - {b"identity"}
        chunked = names == {b"chunked"}
        if chunked:
            framing, lengths = [(b"Transfer-Encoding", b"chunked")], []  # chunked wins
        elif names:
            framing = [(b"Transfer-Encoding", value) for value in codings]
    if lengths:
        values = {text.strip() for value in lengths for text in value.split(b",")}
        framing += [(b"Content-Length", value) for value in (values if len(values) == 1 else lengths)]
    kept = [pair for pair in headers if pair[0].lower() not in _FRAMING]
    return [b"%s: %s" % pair if pair[0] else pair[1] for pair in kept + framing], chunked


def _unfolded(lines: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values; a line that is no header has no name."""
    headers: list[tuple[bytes, list[bytes]]] = []
    for line in lines:
        line = _CONTROLS.sub(b" ", line.removesuffix(b"\r"))
        if line[:1] in (b" ", b"\t") and headers:
            headers[-1][1].append(line.strip(b" \t"))
            continue
        name, colon, value = line.partition(b":")
        trimmed = name.rstrip(b" \t")
        if colon and trimmed and (trimmed == name or trimmed.lower() not in _FRAMING):
            headers.append((trimmed, [value.strip(b" \t")]))
        else:
            headers.append((b"", [line]))
    return [(name, b" ".join(values)) for name, values in headers]
