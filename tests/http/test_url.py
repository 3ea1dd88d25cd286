"""URLs: what is taken, what is sent, and what is refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Fault
from pypinger.http.errors import ExchangeFailed
from pypinger.http.url import join, parse


class Parse(SynchronousTestCase):
    """A table."""

    def test_sound(self) -> None:
        for text, peer, header, target in (
            ("http://a.example", "a.example:80", b"a.example", b"/"),
            ("HTTP://A.Example:8080/x?y#z", "a.example:8080", b"a.example:8080", b"/x?y"),
            ("https://a.example.:443?q", "a.example:443", b"a.example", b"/?q"),
            ("http://[::1]/", "[::1]:80", b"[::1]", b"/"),
            ("http://[FE80::1%25eth0]:81/", "[fe80::1%eth0]:81", b"[fe80::1]:81", b"/"),
            ("http://127.0.0.1:80/ü x", "127.0.0.1:80", b"127.0.0.1", b"/%C3%BC%20x"),
            ("http://bücher.example/", "xn--bcher-kva.example:80", b"xn--bcher-kva.example", b"/"),
            ("http://my_host.example/%2C%zz", "my_host.example:80", b"my_host.example", b"/%2C%zz"),
            ("http://a.example:/\r\n", "a.example:80", b"a.example", b"/"),
            ("http://a.example/a\r\nb", "a.example:80", b"a.example", b"/a%0D%0Ab"),
        ):
            url = parse(text)
            self.assertEqual((peer, header, target), (url.peer, url.host_header, url.target), text)
            self.assertEqual(url, parse(url.absolute.decode()) if "%25" not in text else url)

    def test_userinfo(self) -> None:
        url = parse("http://us%40er:pa:ss@a@b.example/")
        self.assertEqual((b"us@er:pa:ss@a", "b.example"), (url.userinfo, url.host))
        self.assertNotIn(b"@", url.absolute)

    def test_unsound(self) -> None:
        for text in (
            "",
            "a.example/x",
            "//a.example/",
            "http:/a.example/",
            "ftp://a.example/",
            "http:///x",
            "http://:80/",
            "http://a.example:0/",
            "http://a.example:65536/",
            "http://a.example:-1/",
            "http://a.example:８０/",
            "http://[::1/",
            "http://[::zz]/",
            "http://[127.0.0.1]/",
            "http://a..example/",
            "http://a b.example/",
            "http://" + "a" * 64 + ".example/",
            "http://" + "a." * 200 + "example/",
            "http://" + "ü" * 2000 + "/",
            "http://\ud800.example/",
            "http://a\x00b/",
        ):
            with self.assertRaises(ExchangeFailed, msg=text) as raised:
                parse(text)
            self.assertEqual(Fault.URL, raised.exception.fault)

    @settings(deadline=None, max_examples=300)
    @given(st.text(max_size=60), st.binary(max_size=60))
    def test_anything(self, tail: str, location: bytes) -> None:
        """It is taken or refused, and what is sent is one line of printable ASCII."""
        base = parse("http://a.example/x")
        for attempt in (lambda: parse("http://" + tail), lambda: parse(tail), lambda: join(base, location)):
            try:
                url = attempt()
            except ExchangeFailed:
                continue
            line = url.target + url.host_header
            self.assertTrue(all(0x21 <= byte <= 0x7E for byte in line), line)
