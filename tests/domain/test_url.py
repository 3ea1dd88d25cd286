"""Tests for :mod:`pypinger.domain.url`."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.url import MAX_HOST, UrlError, is_loopback, join, label, origin, parse, task_id
from tests.domain.strategies import quick, thorough


class ParseTests(SynchronousTestCase):
    """URLs that are accepted, and those that are refused."""

    def test_plain(self) -> None:
        url = parse("http://example.com/report.json")
        self.assertEqual(url.text, "http://example.com/report.json")
        self.assertEqual(url.label, url.text)
        self.assertEqual(url.origin, "http://example.com:80")
        self.assertIsNone(url.credentials)
        self.assertEqual(url.id, task_id(url.text))

    def test_kept_as_configured_without_userinfo_and_fragment(self) -> None:
        url = parse("HTTPS://Jane:p%40ss:w%C3%B6rd@Example.COM/%7Ea/../b?token=s3cret#top")
        self.assertEqual(url.text, "HTTPS://Example.COM/%7Ea/../b?token=s3cret")
        self.assertEqual(url.credentials, "Jane:p@ss:wörd")
        self.assertEqual(url.label, "HTTPS://Example.COM/%7Ea/../b?…")
        self.assertEqual(url.origin, "https://example.com:443")

    def test_hosts(self) -> None:
        for text, place in [
            ("http://[::1]/", "http://[::1]:80"),
            ("https://[FE80::1%25eth0]:8443/x", "https://[fe80::1%eth0]:8443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://my_host/", "http://my_host:80"),
            ("http://a_b.bücher.example/", "http://a_b.xn--bcher-kva.example:80"),
            ("http://example.com.:81?x", "http://example.com:81"),
            ("http://example.com:/", "http://example.com:80"),
            ("http://user@h/", "http://h:80"),
            ("http://a。b/", "http://a.b:80"),
        ]:
            self.assertEqual(parse(text).origin, place, text)
            self.assertEqual(origin(text), place, text)

    def test_credentials(self) -> None:
        for text, credentials in [
            ("http://jane@h/", "jane:"),
            ("http://:pw@h/", ":pw"),
            ("http://@h/", None),
            ("http://a@b:c@h/", "a@b:c"),
        ]:
            self.assertEqual(parse(text).credentials, credentials, text)

    def test_empty_query_is_not_hidden(self) -> None:
        self.assertEqual(parse("http://h/x?").label, "http://h/x?")

    def test_refused(self) -> None:
        for text, words in [
            ("", "empty"),
            ("http://h/" + "x" * 8192, "longer than 8,192"),
            ("http://h/a b", "space"),
            ("http://h/\n", "space"),
            ("http://h/\u202e", "invisible"),
            ("http://h/\ud800", "invisible"),
            ("h/report", "must start with http"),
            ("http:/h/report", "must start with http"),
            ("javascript:alert(1)", "must start with http"),
            ("ftp://h/report", "scheme must be http or https"),
            ("http://", "no host"),
            ("http:///report", "no host"),
            ("http://:80/", "no host"),
            ("http://jane:pw@/", "no host"),
            ("http://h:0/", "port"),
            ("http://h:70000/", "port"),
            ("http://h:-1/", "port"),
            ("http://h:8٠/", "port"),
            ("http://jane:s3cret/x@h/", "port"),
            ("http://h:80:80/", "port"),
            ("http://a..b/", "host name is not valid"),
            ("http://.a/", "host name is not valid"),
            ("http://a%20b/", "host name is not valid"),
            ("http://h\\evil/", "host name is not valid"),
            ("http://" + "a" * 64 + "/", "host name is not valid"),
            ("http://" + "a." * 128 + "/", "host name is not valid"),
            ("http://b\u00fccher..example/", "host name is not valid"),
            ("http://ü_x/", "internationalised"),
            (f"http://{'ü' * 1100}/", "internationalised"),
            ("http://" + "a" * 63 + ".a" * 95 + "a/", "host name is not valid"),
            ("http://[%3A%3A1]/", "IPv6"),
            ("http://" + "a." * 126 + "aa/", "host name is not valid"),
            ("http://\u2603.\u00ad\u2028/", "invisible"),
            ("http://[::1/", "bracket"),
            ("http://[::1]x/", "bracket"),
            ("http://[::g]/", "IPv6"),
            ("http://[v1.x]/", "IPv6"),
            ("http://%ff@h/", "UTF-8"),
            ("http://a%3Ab:c@h/", "colon"),
        ]:
            error = self.assertRaises(ValueError, parse, text)
            self.assertIn(words, str(error), text)
            self.assertNotIn("s3cret", str(error))

    @thorough
    @given(st.text())
    @example("http://u:p@[::1%25\x00]/")
    def test_any_text_is_accepted_or_refused(self, text: str) -> None:
        for candidate in (text, f"http://{text}", f"http://h/{text}", f"http://[{text}]/"):
            try:
                url = parse(candidate)
            except ValueError as error:
                self.assertTrue(str(error).isascii())
            else:
                again = parse(url.text)
                self.assertEqual(
                    (again.text, again.id, again.label, again.origin), (url.text, url.id, url.label, url.origin)
                )
                self.assertIsNone(again.credentials)


class WireTests(SynchronousTestCase):
    """What is accepted can be sent."""

    def test_plain(self) -> None:
        for text, peer, header, target in [
            ("http://a.example", "a.example:80", b"a.example", b"/"),
            ("HTTP://A.Example:8080/x?y#z", "a.example:8080", b"a.example:8080", b"/x?y"),
            ("https://a.example.:443?q", "a.example:443", b"a.example", b"/?q"),
            ("http://[::1]/", "[::1]:80", b"[::1]", b"/"),
            ("http://[FE80::1%25eth0]:81/", "[fe80::1%eth0]:81", b"[fe80::1]:81", b"/"),
            ("http://127.0.0.1:80/ü", "127.0.0.1:80", b"127.0.0.1", b"/%C3%BC"),
            ("http://my_host.example/%2C%zz|", "my_host.example:80", b"my_host.example", b"/%2C%zz|"),
            ("http://a.example/x?", "a.example:80", b"a.example", b"/x?"),
        ]:
            url = parse(text)
            self.assertEqual((url.peer, url.host_header, url.target), (peer, header, target), text)

    @thorough
    @given(
        st.text(st.sampled_from("aZ9-_.~ü。ß\u00ad\u0301x:[]%@"), max_size=12),
        st.sampled_from(["", ":", ":8080", ":65536"]),
        st.text(st.characters(codec="utf-8"), max_size=12),
    )
    @example("a" * 63 + ".a" * 96, "", "")
    @example("[fe80::1%25eth0]", ":1", "?")
    def test_any_host_and_path(self, host: str, port: str, rest: str) -> None:
        try:
            url = parse(f"http://{host}{port}/{rest}")
        except UrlError:
            return
        self.assertTrue(url.host.isascii() and 0 < len(url.host) <= MAX_HOST, url)
        if not url.is_ip:
            self.assertEqual(url.host, url.host.lower())
            self.assertTrue(all(0 < len(each) <= 63 for each in url.host.split(".")), url)
        self.assertRegex(url.target, rb"\A/[!-~]*\Z")
        self.assertTrue(0 < url.port < 65_536)
        if "%" not in url.host:
            sent = parse(url.absolute.decode("ascii"))
            self.assertEqual((sent.origin, sent.target), (url.origin, url.target))

    @thorough
    @given(st.binary(max_size=30))
    def test_any_location(self, location: bytes) -> None:
        base = parse("https://jane:pw@h:8443/a/b?c")
        for value in (location, b"//" + location, b"http://" + location, b"/" + location):
            try:
                target = join(base, value)
            except UrlError as error:
                self.assertTrue(str(error).isascii())
            else:
                self.assertIsNone(target.credentials)
                self.assertRegex(target.target, rb"\A/[!-~]*\Z")


class IdTests(SynchronousTestCase):
    def test_never_changes(self) -> None:
        # Links in old messages and rows in old stores contain it.
        self.assertEqual(task_id("http://a"), "3d769033dbd9")

    @quick
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        self.assertRegex(task_id(text), "^[0-9a-f]{12}$")


class LabelTests(SynchronousTestCase):
    def test_texts_that_are_no_urls(self) -> None:
        for text, shown in [
            ("example.com/report", "example.com/report"),
            ("example.com/report?token=s3cret", "example.com/report?…"),
            ("example.com/report#s3cret", "example.com/report"),
            ("ftp://jane:s3cret@h/", "ftp://…"),
            ("jane:s3cret@h/", "…"),
            ("http://jane:s3c/ret@h/", "http://…"),
            ("http://h/\n\x1b[2J", "http://h/\ufffd\ufffd[2J"),
            ("x" * 201 + "?s3cret", "x" * 200 + "…"),
            ("", ""),
        ]:
            self.assertEqual(label(text), shown)

    @thorough
    @given(st.text(alphabet=st.sampled_from("htp:/@?#[]a.\n\ud800 %")), st.booleans())
    def test_never_shows_userinfo_or_query(self, text: str, scheme: bool) -> None:
        prefix = "http://" if scheme else ""
        shown = label(f"{prefix}jane:S3CRET@{text}?S3CRET")
        self.assertNotIn("S3CRET", shown)
        self.assertTrue(shown.isprintable())


class LoopbackTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "::1%lo"):
            self.assertTrue(is_loopback(host), host)
        for host in ("mail.example", "10.0.0.1", "fe80::1%eth0", "localhost.example", "127.0.0.1.example"):
            self.assertFalse(is_loopback(host), host)
