"""
The table of faults: what a server does, and what a check reports.

Each case has a name, a script for :mod:`tests.http.faultserver`, and what is expected: the fault and some of its words,
or the code and body of an answer.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from pypinger.domain.model import Fault
from tests.http.faultserver import AT_ONCE, CLOSE, RESET, STALL, Flood, Script, Trickle

REPORT = b'{"status": "ok", "lastrun": "2026-11-03T21:55:00Z"}'
LIMIT = 65_536


@dataclass(frozen=True)
class Case:
    """One fault."""

    name: str
    script: Script
    fault: Fault | None = None
    words: str = ""
    code: int = 200
    body: bytes = REPORT
    timeout: float = 60.0
    reused: bool | None = None


#: A time limit for cases that would never end.
SHORT = 1.0


def answer(body: bytes = REPORT, *lines: bytes, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    """Return an answer with a length."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % (len(body) if length is None else length), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def bare(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a status line and headers."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines]) + b"\r\n\r\n"


def chunked(*chunks: bytes, lines: tuple[bytes, ...] = (), end: bytes = b"0\r\n\r\n") -> bytes:
    """Return an answer in chunks."""
    body = b"".join(map(chunk_of, chunks))
    return bare(b"Transfer-Encoding: chunked", *lines) + body + end


def chunk_of(data: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def bomb(size: int) -> bytes:
    """Return `size` zeros, compressed; each mebibyte gives the same bytes."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    count = size >> 20
    check = 0
    for _ in range(count):
        check = zlib.crc32(block, check)
    head = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    return head + packed * count + packer.flush() + struct.pack("<II", check, count << 20)


def deflate(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
    """Return `data` compressed with deflate."""
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


GZIPPED = gzip.compress(REPORT)
BOMB = bomb(1 << 27)
GZIP = b"Content-Encoding: gzip"
DEFLATE = b"Content-Encoding: deflate"

TRANSPORT = [
    Case("closes on accept", [AT_ONCE, CLOSE], Fault.RESET, "before any answer"),
    Case("resets on accept", [AT_ONCE, RESET], Fault.RESET, "reset before any answer"),
    Case("closes after the request", [CLOSE], Fault.RESET, "closed before any answer"),
    Case("resets after the request", [RESET], Fault.RESET, "reset before any answer"),
    Case("stalls after the request", [STALL], Fault.TIMEOUT, "still waiting for the headers", timeout=SHORT),
    Case("stalls in the status line", [b"HTTP/1.1 20"], Fault.TIMEOUT, "end of the headers (11 bytes", timeout=SHORT),
    Case("stalls in the headers", [b"HTTP/1.1 200 OK\r\nA: b\r\n"], Fault.TIMEOUT, "headers (23 bytes", timeout=SHORT),
    Case("stalls before the body", [answer(b"", length=9)], Fault.TIMEOUT, "reading the body (0 bytes", timeout=SHORT),
    Case("stalls in the body", [answer(b"abc", length=9)], Fault.TIMEOUT, "reading the body (3 bytes", timeout=SHORT),
    Case("stalls in a chunk", [chunked(end=b"9\r\nabc")], Fault.TIMEOUT, "body (3 bytes", timeout=SHORT),
    Case("trickles headers", [b"HTTP/1.1 200 OK\r\n", Trickle(b"A: b\r\n")], Fault.TIMEOUT, "headers", timeout=SHORT),
    Case("trickles a body", [answer(b"", length=9999), Trickle(b"x")], Fault.TIMEOUT, "body", timeout=SHORT),
    Case("trickles chunks", [chunked(end=b""), Trickle(b"1\r\nx\r\n")], Fault.TIMEOUT, "body", timeout=SHORT),
    Case("closes in the status line", [b"HTTP/1.1 2", CLOSE], Fault.BROKEN, "closed in the headers, after 10 bytes"),
    Case("closes in the headers", [b"HTTP/1.1 200 OK\r\nA", CLOSE], Fault.BROKEN, "closed in the headers"),
    Case("resets in the headers", [b"HTTP/1.1 200 OK\r\nA", RESET], Fault.RESET, "reset while waiting for the end of"),
    Case("closes in the body", [answer(b"abc", length=9), CLOSE], Fault.BROKEN, "after 3 of 9 bytes"),
    Case("resets in the body", [answer(b"abc", length=9), RESET], Fault.RESET, "reset while reading the body (3 b"),
    Case("closes in a chunk", [chunked(end=b"9\r\nabc"), CLOSE], Fault.BROKEN, "before its last chunk"),
    Case("closes before the last chunk", [chunked(REPORT, end=b""), CLOSE], Fault.BROKEN, "before its last chunk"),
    Case("speaks first", [AT_ONCE, b"220 mail.example ESMTP\r\n"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("sends noise", [bytes(range(256))], Fault.BROKEN, "not a valid HTTP answer"),
    Case("sends bare HTML", [b"<html>hello</html>"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("sends a TLS alert", [b"\x15\x03\x01\x00\x02\x02\x50"], Fault.BROKEN, "not a valid HTTP answer"),
]

STATUS_LINES = [
    Case("HTTP/2", [b"HTTP/2.0 200 OK\r\n\r\n"], Fault.BROKEN, "not HTTP/1.1"),
    Case("HTTP/0.9", [b"HTTP/0.9 200 OK\r\n\r\n"], Fault.BROKEN, "HTTP"),
    Case("a shoutcast server", [b"ICY 200 OK\r\n\r\n"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("status 099", [b"HTTP/1.1 099 Odd\r\n\r\n"], Fault.BROKEN, "status code 099 does not exist"),
    Case("status of two digits", [b"HTTP/1.1 20 OK\r\n\r\n"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("status of four digits", [b"HTTP/1.1 2000 OK\r\n\r\n"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("status in letters", [b"HTTP/1.1 abc OK\r\n\r\n"], Fault.BROKEN, "not a valid HTTP answer"),
    Case("status 999", [answer(status=b"999 Odd")], code=999),
    Case("no reason phrase", [answer(status=b"200")]),
    Case("an endless reason", [b"HTTP/1.1 200 ", Flood(b"x" * 9000)], Fault.TOO_LARGE, "larger than 32,768 bytes"),
    Case("a long reason", [answer(status=b"200 " + b"x" * 40_000)], Fault.TOO_LARGE, "headers are larger than"),
    Case("HTTP/1.0", [b"HTTP/1.0 200 OK\r\n\r\n" + REPORT, CLOSE], reused=False),
    Case("a server error", [answer(b"oops", status=b"500 Oops")], code=500, body=b"oops", reused=True),
]

HEADERS = [
    Case("too many headers", [answer(REPORT, *[b"A: b"] * 200)], Fault.TOO_LARGE, "more than 128 headers"),
    Case("an endless header", [bare()[:-2] + b"A: ", Flood(b"x" * 9000)], Fault.TOO_LARGE, "headers are larger than"),
    Case("an endless name", [bare()[:-2], Flood(b"x" * 9000)], Fault.TOO_LARGE, "headers are larger than"),
    Case("endless headers", [bare()[:-2], Flood(b"A: b\r\n" * 999)], Fault.TOO_LARGE, "headers are larger than"),
    Case("a large header", [answer(REPORT, b"A: " + b"x" * 40_000)], Fault.TOO_LARGE, "headers are larger than"),
    Case("a header without colon", [answer(REPORT, b"hello")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a space in a name", [answer(REPORT, b"a b: c")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("NUL in a value", [answer(REPORT, b"A: b\0c")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("line feeds alone", [answer().replace(b"\r\n", b"\n")]),
    Case("umlauts in a value", [answer(REPORT, "A: äöü".encode())]),
    Case("many cookies", [answer(REPORT, *[b"Set-Cookie: a=b"] * 100)], reused=True),
    Case("an empty value", [answer(REPORT, b"A:")], reused=True),
    Case("connection: close", [answer(REPORT, b"Connection: close")], reused=False),
]

FRAMING = [
    Case("a negative length", [bare(b"Content-Length: -1")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a length in letters", [bare(b"Content-Length: abc")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("an enormous length", [bare(b"Content-Length: " + b"9" * 40)], Fault.BROKEN, "not a valid HTTP answer"),
    Case("two lengths", [answer(REPORT, b"Content-Length: 3")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("two lengths in a line", [bare(b"Content-Length: 51, 3") + REPORT], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a folded length", [bare(b"Content-Length: 5", b" 1") + REPORT], Fault.BROKEN, "not a valid HTTP answer"),
    Case("unknown framing", [bare(b"Transfer-Encoding: gzip, chunked")], Fault.BROKEN, "'gzip, chunked' is not unders"),
    Case(
        "chunked and gzip", [bare(b"Transfer-Encoding: chunked, gzip")], Fault.BROKEN, "'chunked, gzip' is not unders"
    ),
    Case("a chunk size in letters", [chunked(end=b"zz\r\n")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("an enormous chunk size", [chunked(end=b"f" * 40 + b"\r\n")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a negative chunk size", [chunked(end=b"-1\r\n")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a chunk longer than its size", [chunked(end=b"3\r\nabcdef\r\n")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("endless chunk size", [chunked(end=b""), Flood(b"0" * 9000)], Fault.TOO_LARGE, "on the wire"),
    Case("endless chunk extension", [chunked(end=b"1;"), Flood(b"x" * 9000)], Fault.TOO_LARGE, "on the wire"),
    Case("endless trailers", [chunked(end=b"0\r\n"), Flood(b"a: b\r\n" * 999)], Fault.TOO_LARGE, "on the wire"),
    Case("a trailer", [chunked(REPORT, end=b"0\r\nA: b\r\n\r\n")], reused=True),
    Case("chunks of a byte", [chunked(*[b"x"] * LIMIT)], body=b"x" * LIMIT),
    Case("chunks", [chunked(REPORT[:9], REPORT[9:])], reused=True),
    Case("a large length", [answer(b"", length=LIMIT + 1)], Fault.TOO_LARGE, "body is larger than 65,536 bytes"),
    Case("a large body in chunks", [chunked(*[b"x" * 9999] * 9)], Fault.TOO_LARGE, "body is larger than 65,536"),
    Case("an endless body", [bare(), Flood(b"x" * 9999)], Fault.TOO_LARGE, "body is larger than 65,536 bytes"),
    Case("the largest body", [answer(b"x" * LIMIT)], body=b"x" * LIMIT),
    Case("a body until close", [bare() + REPORT, CLOSE], reused=False),
    Case("no body", [answer(b"")], body=b"", reused=True),
    Case("204 with a body", [bare(status=b"204 No Content") + b"abc"], code=204, body=b"", reused=False),
    Case("bytes after the body", [answer() + b"abc"], reused=False),
    Case("a second answer", [answer() + answer()], reused=False),
]

ENCODINGS = [
    Case("gzip", [answer(GZIPPED, GZIP)], reused=True),
    Case("gzip in two members", [answer(gzip.compress(REPORT[:9]) + gzip.compress(REPORT[9:]), GZIP)]),
    Case("gzip in chunks of a byte", [chunked(*[bytes([b]) for b in GZIPPED], lines=(GZIP,))]),
    Case("x-gzip", [answer(GZIPPED, b"content-encoding: X-GZIP")]),
    Case("gzip cut off", [answer(GZIPPED[:-9], GZIP)], Fault.BROKEN, "gzip data breaks off"),
    Case("gzip cut off by close", [bare(GZIP) + GZIPPED[:-9], CLOSE], Fault.BROKEN, "gzip data breaks off"),
    Case("gzip with a wrong checksum", [answer(GZIPPED[:-8] + bytes(8), GZIP)], Fault.BROKEN, "no valid gzip"),
    Case("gzip that is none", [answer(REPORT, GZIP)], Fault.BROKEN, "no valid gzip"),
    Case("gzip and a broken member", [answer(GZIPPED + b"\x1f\x8bgarbage", GZIP)], Fault.BROKEN, "no valid gzip"),
    Case("gzip and half a member", [answer(GZIPPED + GZIPPED[:-9], GZIP)], Fault.BROKEN, "gzip data breaks off"),
    Case("gzip of many members", [answer(gzip.compress(b"") * 99, GZIP)], Fault.BROKEN, "too many members"),
    Case("a gzip bomb", [answer(BOMB, GZIP)], Fault.TOO_LARGE, "body is larger than 65,536 bytes"),
    Case("a gzip bomb in chunks", [chunked(BOMB, lines=(GZIP,))], Fault.TOO_LARGE, "body is larger"),
    Case("gzip twice", [answer(gzip.compress(GZIPPED), b"Content-Encoding: gzip, gzip")], Fault.BROKEN, "'gzip, gzip'"),
    Case("gzip twice, in two lines", [answer(gzip.compress(GZIPPED), GZIP, GZIP)], Fault.BROKEN, "not understood"),
    Case("brotli", [answer(REPORT, b"Content-Encoding: br")], Fault.BROKEN, "content encoding 'br' is not understood"),
    Case("identity", [answer(REPORT, b"Content-Encoding: identity")]),
    Case("deflate", [answer(deflate(REPORT), DEFLATE)]),
    Case("deflate in chunks of a byte", [chunked(*[bytes([b]) for b in deflate(REPORT)], lines=(DEFLATE,))]),
    Case("bare deflate", [answer(deflate(REPORT, -15), DEFLATE)]),
    Case("bare deflate in bytes", [chunked(*[bytes([b]) for b in deflate(REPORT, -15)], lines=(DEFLATE,))]),
    Case("deflate cut off", [answer(deflate(REPORT)[:-9], DEFLATE)], Fault.BROKEN, "deflate data breaks off"),
    Case("deflate that is none", [answer(REPORT, DEFLATE)], Fault.BROKEN, "no valid deflate"),
    Case("a deflate bomb", [answer(deflate(bytes(1 << 24)), DEFLATE)], Fault.TOO_LARGE, "body is larger than 65,536"),
    Case("an empty gzip body", [answer(b"", GZIP)], body=b""),
    Case("a long encoding name", [answer(REPORT, b"Content-Encoding: " + b"\xffx" * 99)], Fault.BROKEN, "?x?x?x?x"),
]


def lenient(name: str, raw: bytes, *more: Any) -> Case:
    """Return a case that other clients read; the connection is not kept."""
    return Case(name, [raw, *more], reused=False)


def headed(*lines: bytes) -> bytes:
    """Return an answer with a length and these lines before it."""
    return bare(*lines, b"Content-Length: 51") + REPORT


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 51"
CHUNKS = b"33\r\n" + REPORT + b"\r\n0\r\n\r\n"

#: What curl and Python's http.client read (contract, section 3).
LENIENT = [
    lenient("spaces after a chunk size", bare(CHUNKED) + b"33  \r\n" + REPORT + b"\r\n0  \r\n\r\n"),
    lenient("spaces in a chunk extension", bare(CHUNKED) + b"33 ; a = b\r\n" + REPORT + b"\r\n0\r\n\r\n"),
    lenient("a length and chunks", bare(LENGTH, CHUNKED) + CHUNKS),
    lenient("chunks and a length", bare(CHUNKED, LENGTH) + CHUNKS),
    lenient("chunks and a wrong length", bare(CHUNKED, b"Content-Length: 5") + CHUNKS),
    lenient("equal lengths", bare(LENGTH, LENGTH) + REPORT),
    lenient("equal lengths in a line", bare(b"Content-Length: 51, 51") + REPORT),
    lenient(
        "a folded header", headed(b"Content-Security-Policy: default-src 'self';", b"\timg-src *;", b"  font-src *")
    ),
    lenient("chunked twice", bare(CHUNKED, CHUNKED) + CHUNKS),
    lenient("chunked twice in a line", bare(b"Transfer-Encoding: chunked, chunked") + CHUNKS),
    lenient("identity and a length", bare(b"Transfer-Encoding: identity", LENGTH) + REPORT),
    lenient("identity until close", bare(b"Transfer-Encoding: identity") + REPORT, CLOSE),
    lenient("identity and chunks", bare(b"Transfer-Encoding: identity, chunked") + CHUNKS),
    lenient("a control character", headed(b"A: b\x01c")),
    lenient("DEL in a value", headed(b"A: b\x7f")),
    lenient("a space before the colon", headed(b"Server : x")),
    lenient("several of these", bare(b"A : \x01", CHUNKED, LENGTH) + b"33 ;x\n" + REPORT + b"\n0\nA: b\n\n"),
    lenient("an early hint and a folded header", bare(status=b"103 Early Hints") + headed(b"A: b", b" c")),
    lenient("a folded early hint", bare(b"Link: </a>;", b" rel=preload", status=b"103 Early Hints") + answer()),
    lenient("gzip and NULs", answer(GZIPPED + bytes(8), GZIP)),
    lenient("gzip and a line end", answer(GZIPPED + b"\r\n", GZIP)),
    lenient("gzip and a comment", answer(GZIPPED + b"<!-- cached -->", GZIP)),
    lenient("gzip and a first byte", answer(GZIPPED + b"\x1f", GZIP)),
    lenient("gzip and a comment in chunks of a byte", chunked(*[bytes([b]) for b in GZIPPED + b"<!--"], lines=(GZIP,))),
    lenient("deflate and a line end", answer(deflate(REPORT) + b"\n", DEFLATE)),
    lenient("deflate and more chunks", chunked(deflate(REPORT), b"x", b"y", lines=(DEFLATE,))),
    *(
        lenient(f"encoding {name.decode()}", answer(REPORT, b"Content-Encoding: " + name))
        for name in (b"UTF-8", b"none", b"8bit", b"binary")
    ),
]

#: Their limits, and what stays refused.
STRICT = [
    Case("endless folded lines", [bare()[:-2] + b"A: b\r\n", Flood(b" c\r\n" * 999)], Fault.TOO_LARGE, "headers are"),
    Case("many folded headers", [answer(REPORT, *[b"A: b", b" c"] * 200)], Fault.TOO_LARGE, "more than 128 headers"),
    Case("folded headers in 1xx", [bare(b"A: b", b" c", status=b"103 x") * 20], Fault.BROKEN, "more than 10 interim"),
    Case("a large body in odd chunks", [bare(CHUNKED) + b"10000 \r\n" + bytes(65536) + b"\r\n1\r\na"], Fault.TOO_LARGE),
    Case(
        "endless odd chunk size", [bare(CHUNKED) + b"1 \r\nx\r\n", Flood(b"0" * 9000)], Fault.TOO_LARGE, "on the wire"
    ),
    Case("endless odd trailers", [bare(CHUNKED) + b"0 \r\n", Flood(b"a: b\r\n" * 999)], Fault.TOO_LARGE, "on the wire"),
    Case(
        "an odd chunk beyond its size",
        [bare(CHUNKED) + b"3 \r\nabcdef\r\n"],
        Fault.BROKEN,
        "not a valid HTTP answer",
    ),
    Case("an odd chunk cut off", [bare(CHUNKED) + b"9 \r\nabc", CLOSE], Fault.BROKEN, "before its last chunk"),
    Case("a folded header cut off", [bare()[:-2] + b"A: b\r\n c\r\n", CLOSE], Fault.BROKEN, "closed in the headers"),
    Case("a fold without header", [bare(b" a: b") + REPORT], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a fold and NUL", [headed(b"A: b", b" c\0")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a fold and a lone CR", [headed(b"A: b", b" c\rd")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a space before the length's colon", [bare(b"Content-Length : 51")], Fault.BROKEN, "not a valid HTTP answer"),
    Case("a stalled fold", [bare()[:-2] + b"A: b\r\n c\r\n"], Fault.TIMEOUT, "end of the headers", timeout=SHORT),
    Case("a gzip bomb after chunk spaces", [bare(CHUNKED, GZIP) + b"%x \r\n" % len(BOMB) + BOMB], Fault.TOO_LARGE),
]

INTERIM = [
    Case("100 first", [b"HTTP/1.1 100 Continue\r\n\r\n" + answer()], reused=True),
    Case("early hints", [bare(b"Link: </a>; rel=preload", status=b"103 Early Hints") + answer()]),
    Case("endless 1xx", [Flood(b"HTTP/1.1 102 Processing\r\n\r\n")], Fault.BROKEN, "more than 10 interim answers"),
    Case("headers in 1xx", [bare(*[b"A: " + b"x" * 999] * 20, status=b"103 x") * 3], Fault.TOO_LARGE, "headers are"),
    Case(
        "101 unasked", [bare(b"Upgrade: x", b"Connection: upgrade", status=b"101 x")], Fault.BROKEN, "protocol unasked"
    ),
    Case("1xx and no answer", [b"HTTP/1.1 100 Continue\r\n\r\n"], Fault.TIMEOUT, "end of the headers", timeout=SHORT),
    Case("1xx and a close", [b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE], Fault.BROKEN, "closed in the headers"),
]


def redirect(location: bytes, status: bytes = b"302 Found", body: bytes = b"") -> bytes:
    """Return a redirect."""
    return answer(body, b"Location: " + location, status=status)


REDIRECTS = [
    Case("a loop", [redirect(b"/again")], Fault.REDIRECTS, "too many redirects (more than 5)"),
    Case("to ftp", [redirect(b"ftp://127.0.0.1/")], Fault.REDIRECTS, "scheme must be http or https"),
    Case("to javascript", [redirect(b"javascript:alert(1)")], Fault.REDIRECTS, "cannot be followed"),
    Case("to a bad port", [redirect(b"http://127.0.0.1:99999/")], Fault.REDIRECTS, "port must be a number"),
    Case("to a bad IPv6 address", [redirect(b"http://[::1/")], Fault.REDIRECTS, "cannot be followed"),
    Case("to a bad name", [redirect(b"http://\xff\xfe/")], Fault.REDIRECTS, "invisible character"),
    Case("to a closed port", [redirect(b"http://127.0.0.1:1/")], Fault.REFUSED, "connection refused by 127.0.0.1:1"),
    Case("without location", [answer(b"", status=b"302 Found")], code=302, body=b""),
    Case("304", [bare(status=b"304 Not Modified")], code=304, body=b"", reused=True),
    Case("300", [redirect(b"/a", status=b"300 Multiple Choices")], code=300, body=b""),
    Case("305", [redirect(b"http://127.0.0.1:1", status=b"305 Use Proxy")], code=305, body=b""),
    Case(
        "a loop with endless bodies",
        [bare(b"Location: /x", status=b"301 x"), Flood(b"x" * 9000)],
        Fault.REDIRECTS,
        "too many redirects",
    ),
]

CASES = [*TRANSPORT, *STATUS_LINES, *HEADERS, *FRAMING, *ENCODINGS, *LENIENT, *STRICT, *INTERIM, *REDIRECTS]
