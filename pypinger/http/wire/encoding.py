"""
Content encodings, decoded piece by piece and never beyond the limit, so that a decompression bomb costs nothing.

Supported are gzip (with several members, as RFC 1952 allows) and deflate (with zlib's wrapper or without).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pypinger.domain.model import Fault
from pypinger.http.wire.errors import ExchangeFailed, excerpt

#: The value of ``Accept-Encoding``.
ACCEPTED = b"gzip, deflate"

# More than any server sends. Each member costs a decompressor, even an empty one.
_MAX_MEMBERS = 16

_GZIP = 16 + zlib.MAX_WBITS


def _broken(words: str) -> ExchangeFailed:
    return ExchangeFailed(Fault.BROKEN, words)


def decoder(codings: Sequence[bytes]) -> Decoder | None:
    """
    Return a decoder for these values of ``Content-Encoding``; None if the body is not encoded.

    :raises ExchangeFailed: an encoding is unknown, or there are several.
    """
    names = [name.strip().lower() for value in codings for name in value.split(b",")]
    names = [name for name in names if name not in (b"", b"identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in (b"gzip", b"x-gzip", b"deflate"):
        raise _broken(f"content encoding {excerpt(b', '.join(names))!r} is not understood")
    return Decoder(gzip=names[0] != b"deflate")


class Decoder:
    """Decodes gzip or deflate."""

    __slots__ = ("_gzip", "_members", "_seen", "_stream")

    def __init__(self, *, gzip: bool) -> None:
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
        while data and len(out) <= room:
            if self._stream is None or self._stream.eof:
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
            raise _broken("the body has garbage after its deflate data")
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
            raise _broken("the body has garbage after its deflate data")
        return out
