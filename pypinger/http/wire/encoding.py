"""
Content encodings, decoded piece by piece and never beyond the limit, so that a decompression bomb costs nothing.

Supported are gzip (with several members, as RFC 1952 allows) and deflate (with zlib's wrapper or without).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pypinger.domain.model import Fault
from pypinger.http.wire.errors import ExchangeFailed, excerpt
from pypinger.http.wire.limits import Limits

#: The value of ``Accept-Encoding``.
ACCEPTED = b"gzip, deflate"

# More than any server sends. Each member costs a decompressor, even an empty one.
_MAX_MEMBERS = 16

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


def _broken(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.BROKEN, words)


# Servers and proxies put these there by mistake; curl and Python's http.client read such answers.
_NO_CODINGS = frozenset({b"utf-8", b"utf8", b"none", b"7bit", b"8bit", b"binary"})


def decoder(codings: Sequence[bytes]) -> tuple[Decoder | None, bool]:
    """
    Return a decoder for these values of ``Content-Encoding``, None if the body is not encoded.

    :returns: the decoder, and whether a value names no coding and is ignored.
    :raises ExchangeFailed: an encoding is unknown, or there are several.
    """
    names = [name.strip().lower() for value in codings for name in value.split(b",")]
    names = [name for name in names if name not in (b"", b"identity")]
    lenient = not _NO_CODINGS.isdisjoint(names)
    names = [name for name in names if name not in _NO_CODINGS]
    if not names:
        return None, lenient
    if len(names) > 1 or names[0] not in (b"gzip", b"x-gzip", b"deflate"):
        raise _broken(f"content encoding {excerpt(b', '.join(names))!r} is not understood")
    return Decoder(gzip=names[0] != b"deflate"), lenient


class Decoder:
    """
    Decodes gzip or deflate.

    :ivar garbage: whether bytes after the complete data were ignored, as other clients do.
    """

    __slots__ = ("_gzip", "_members", "_rest", "_seen", "_stream", "garbage")

    def __init__(self, *, gzip: bool) -> None:
        self.garbage = False
        self._rest = b""
        self._gzip = gzip
        self._members = 0
        self._seen = b""
        self._stream = None if gzip else zlib.decompressobj()

    def feed(self, data: bytes, room: int) -> bytes:
        """
        Decode another piece.

        :param room: how many bytes to return; if there are more, ``room + 1`` are returned and the rest is dropped.
        :raises ExchangeFailed: the data is broken.
        """
        try:
            return self._feed_gzip(data, room) if self._gzip else self._feed_deflate(data, room)
        except zlib.error:
            raise _broken(f"the body is no valid {self._name}") from None

    def finish(self) -> None:
        """
        End the body.

        :raises ExchangeFailed: the data is incomplete.
        """
        if self._rest:
            self.garbage = True
        if self._stream is not None and not self._stream.eof and self._begun:
            raise _broken(f"the body's {self._name} data breaks off")

    @property
    def _name(self) -> str:
        return "gzip" if self._gzip else "deflate"

    @property
    def _begun(self) -> bool:
        return self._members > 0 if self._gzip else bool(self._seen)

    def _feed_gzip(self, data: bytes, room: int) -> bytes:
        out = b""
        while data and len(out) <= room and not self.garbage:
            if self._stream is None or self._stream.eof:
                data, self._rest = self._rest + data, b""
                if self._members and data == _GZIP_MAGIC[:1]:
                    self._rest = data
                    break
                if self._members and not data.startswith(_GZIP_MAGIC):
                    self.garbage = True
                    break
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise _broken("the body's gzip data has too many members")
                self._stream = zlib.decompressobj(_GZIP)
            out += self._stream.decompress(data, room + 1 - len(out))
            data = self._stream.unused_data
        return out

    def _feed_deflate(self, data: bytes, room: int) -> bytes:
        assert self._stream is not None
        if self._stream.eof:
            self.garbage = True
            return b""
        if len(self._seen) < 2:
            # Zlib's wrapper shows in the first two bytes; until then the stream has eaten them and nothing came out.
            self._seen += data
            try:
                out = self._stream.decompress(data, room + 1)
            except zlib.error:
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
                out = self._stream.decompress(self._seen, room + 1)
            self._seen = self._seen[:2]
        else:
            out = self._stream.decompress(data, room + 1)
        if self._stream.unused_data:
            self.garbage = True
        return out


class Body:
    """
    The decoded body of one answer, within the limit.

    :ivar size: its bytes so far.
    :ivar cut: whether the limit has cut it.
    """

    __slots__ = ("_decoder", "_lenient", "_limits", "_pieces", "cut", "size")

    def __init__(self, limits: Limits) -> None:
        self.size = 0
        self.cut = False
        self._limits = limits
        self._decoder: Decoder | None = None
        self._lenient = False
        self._pieces: list[bytes] = []

    @property
    def content(self) -> bytes:
        """The bytes so far."""
        return b"".join(self._pieces)

    @property
    def lenient(self) -> bool:
        """Whether something was ignored that a strict client would refuse."""
        return self._lenient or (self._decoder is not None and self._decoder.garbage)

    def decode(self, codings: Sequence[bytes]) -> None:
        """
        Decode what follows, by the values of ``Content-Encoding``.

        :raises ExchangeFailed: as :func:`decoder`.
        """
        self._decoder, self._lenient = decoder(codings)

    def announce(self, length: int) -> None:
        """
        Check an announced length.

        :raises ExchangeFailed: such a body is too large.
        """
        most = self._limits.body if self._decoder is None else self._limits.raw
        if length > most and not self._limits.cut:
            raise self._too_large()

    def feed(self, data: bytes) -> None:
        """
        Read a piece.

        :raises ExchangeFailed: the body is broken or too large.
        """
        room = self._limits.body - self.size
        if self._decoder is not None:
            data = self._decoder.feed(data, room)
        if len(data) > room:
            if not self._limits.cut:
                raise self._too_large()
            self.cut = True
            data = data[:room]
        self.size += len(data)
        self._pieces.append(data)

    def finish(self) -> None:
        """
        End the body.

        :raises ExchangeFailed: the data is incomplete.
        """
        if self._decoder is not None:
            self._decoder.finish()

    def _too_large(self) -> ExchangeFailed:
        return ExchangeFailed(Fault.TOO_LARGE, f"body is larger than {self._limits.body:,} bytes")
