"""Tests for :mod:`pypinger.domain.urls`."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import urls
from pypinger.domain.urls import MASK, MOST_ADDED, Secrets, label, origin, parse, secret_parts, task_id
from tests.domain.strategies import quick, thorough


class ParseTests(SynchronousTestCase):
    """What a task's URL may be."""

    def test_plain(self) -> None:
        url = parse("http://example.com/report.json")
        self.assertEqual(url.url, "http://example.com/report.json")
        self.assertEqual(url.label, url.url)
        self.assertEqual(url.origin, "http://example.com:80")
        self.assertIsNone(url.credentials)
        self.assertEqual(url.id, task_id(url.url))

    def test_kept_as_configured_less_userinfo_and_fragment(self) -> None:
        url = parse("HTTPS://Jane:p%40ss:w%C3%B6rd@Example.COM/%7Ea/../b?token=s3cret#top")
        self.assertEqual(url.url, "HTTPS://Example.COM/%7Ea/../b?token=s3cret")
        self.assertEqual(url.credentials, "Jane:p@ss:wörd")
        self.assertEqual(url.label, "HTTPS://Example.COM/%7Ea/../b?…")
        self.assertEqual(url.origin, "https://example.com:443")

    def test_hosts(self) -> None:
        for text, place in [
            ("http://[::1]/", "http://[::1]:80"),
            ("https://[FE80::1%25eth0]:8443/x", "https://[fe80::1%25eth0]:8443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://my_host/", "http://my_host:80"),
            ("http://a_b.bücher.example/", "http://a_b.bücher.example:80"),
            ("http://example.com.:81?x", "http://example.com.:81"),
            ("http://example.com:/", "http://example.com:80"),
            ("http://user@h/", "http://h:80"),
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

    def test_unusable(self) -> None:
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
            ("http://b\u00fccher..example/", "internationalised"),
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
    def test_any_text_is_taken_or_refused(self, text: str) -> None:
        for candidate in (text, f"http://{text}", f"http://h/{text}", f"http://[{text}]/"):
            try:
                url = parse(candidate)
            except ValueError as error:
                self.assertTrue(str(error).isascii())
            else:
                again = parse(url.url)
                self.assertEqual(
                    (again.url, again.id, again.label, again.origin), (url.url, url.id, url.label, url.origin)
                )
                self.assertIsNone(again.credentials)


class IdTests(SynchronousTestCase):
    def test_is_for_ever(self) -> None:
        # Links in old messages and rows in old stores hold it.
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


class SecretPartsTests(SynchronousTestCase):
    def test_a_webhook(self) -> None:
        url = "https://hooks.example.com/services/T0/B0/abcdefghijklmnop"
        self.assertEqual(
            secret_parts(f"{url}?k=v#f"),
            (
                f"{url}?k=v#f",
                "/services/T0/B0/abcdefghijklmnop",
                "/services/T0/B0/abcdefghijklmnop?k=v",
                "abcdefghijklmnop",
            ),
        )

    def test_ordinary_words_are_none(self) -> None:
        self.assertEqual(secret_parts("https://h/hook"), ("https://h/hook",))
        self.assertEqual(secret_parts("https://h/a/webhook/"), ("https://h/a/webhook/", "/a/webhook/"))


class SecretsTests(SynchronousTestCase):
    def test_added(self) -> None:
        secrets = Secrets({"hunter2"})
        secrets.add("tok/en")
        self.assertEqual(secrets.scrub("hunter2 tok%2Fen token"), "*** *** token")
        for number in range(MOST_ADDED):
            secrets.add(f"another-{number}")
        self.assertEqual(secrets.scrub("hunter2 tok/en another-0"), "*** tok/en ***")

    def test_changed(self) -> None:
        secrets = Secrets({"hunter2"})
        secrets.add("tok/en")
        secrets.change({"hunter3"})
        secrets.change(set())
        secrets.change({"hunter4"})
        self.assertEqual(secrets.scrub("hunter2 hunter3 hunter4 tok/en"), "*** *** *** ***")

    def test_only_so_many_former_ones(self) -> None:
        self.patch(urls, "MOST_FORMER", 2)
        secrets = Secrets({"hunter0"})
        for number in (1, 2, 3, 1):
            secrets.change({f"hunter{number}", "always"})
        self.assertEqual(secrets.scrub("hunter0 hunter1 hunter2 hunter3 always"), "hunter0 *** *** *** ***")
        secrets.change({"x" * 9, "y" * 9, "z" * 9})
        self.assertEqual(secrets.scrub("xxxxxxxxx yyyyyyyyy zzzzzzzzz hunter3"), "*** *** *** hunter3")

    def test_edition(self) -> None:
        secrets = Secrets({"hunter2"})
        editions = [secrets.edition]
        for change in (lambda: secrets.add("token"), lambda: secrets.change({"hunter3"})):
            change()
            self.assertNotIn(secrets.edition, editions)
            editions.append(secrets.edition)

    def test_basic_of_what_was_encoded(self) -> None:
        sent = b64encode(b"user:p@ss").decode()
        self.assertEqual(Secrets({"user:p%40ss"}).scrub(f"Basic {sent}"), "Basic ***")

    def test_nothing_to_do(self) -> None:
        text = "last ran 21:55:00 UTC"
        self.assertIs(Secrets().scrub(text), text)
        self.assertIs(Secrets([""]).scrub(text), text)
        self.assertIs(Secrets(frozenset({"hunter2", "last ran 99"})).scrub(text), text)

    def test_every_occurrence(self) -> None:
        self.assertEqual(Secrets({"hunter2"}).scrub("hunter2, hunter2hunter2."), "***, ******.")

    def test_guises(self) -> None:
        secret = 'jane:p/s "wörd"\'!(*)~?>é'
        for form in [
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote(secret, safe="").lower(),
            quote(secret, safe="").replace("%20", "+"),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            quote(secret, safe="!'()*"),
            quote(secret, safe="!'()*;,/?:@&=+$#"),
            quote(secret, safe="*").replace("%20", "+").replace("~", "%7E"),
            quote(secret, safe="!()*").lower().replace("%20", "+").replace("~", "%7e"),
            quote(secret, safe="").replace("%20", "+").replace("~", "%7E"),
            b64encode(secret.encode()).decode(),
            b64encode(secret.encode()).decode().rstrip("="),
            urlsafe_b64encode(secret.encode()).decode(),
            urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        ]:
            self.assertEqual(Secrets({secret}).scrub(f"<{form}>"), "<***>", form)
        self.assertEqual(Secrets({"a%2Fb"}).scrub("a/b"), MASK)
        self.assertEqual(Secrets({"a+%2Fb"}).scrub("a /b"), MASK)

    def test_places(self) -> None:
        secrets = Secrets({"hunter2", "other-secret"})
        self.assertEqual(secrets.places("x hunter2 other"), [(2, 9)])
        for text, place in (("x hunter2 other", (10, 15)), ("hunter2 h", (8, 9)), ("x other-secre", (2, 13))):
            self.assertIn(place, secrets.places(text, cut=True))
        self.assertEqual(secrets.places("x hunter2 x", cut=True), [(2, 9)])
        self.assertEqual(secrets.places("hunter1", cut=True), [])
        self.assertEqual(Secrets().places("hunter2", cut=True), [])
        secrets.add("token")
        self.assertEqual(secrets.places("to token hunter2 to", cut=True), [(3, 8), (9, 16), (17, 19)])
        # Those that begin alike, and where the text ends within the longer one.
        alike = Secrets({"token=1", "token=22", "token=33", "token=333"})
        self.assertEqual(alike.places("token=333 token=33"), [(0, 9), (10, 18)])
        for text, start in (("token=333 token=3", 10), ("token=2", 0), ("token=4", 7), ("x token=", 2), ("z", 1)):
            self.assertEqual(alike.places(text, cut=True)[-1:], [(start, len(text))] if start < len(text) else [])

    def test_longest_first(self) -> None:
        self.assertEqual(Secrets({"abc", "abcdef"}).scrub("xabcdefx abcx"), "x***x ***x")

    def test_overlapping_secrets_are_replaced_as_one(self) -> None:
        self.assertEqual(Secrets({"abcd", "cdef"}).scrub("xabcdefx"), "x***x")
        self.assertEqual(Secrets({"abcdef", "cd"}).scrub("xabcdefx"), "x***x")

    def test_characters_with_a_meaning_in_regular_expressions(self) -> None:
        for secret in ["^]-[a", "a-z", "\\d+", "||&&~~", "[[", "]", "^"]:
            self.assertEqual(Secrets({secret}).scrub(f"x {secret} x"), "x *** x")

    @thorough
    @given(
        st.frozensets(st.text(st.sampled_from("ab:%2Fé\ud800"), min_size=1, max_size=4), max_size=5),
        st.lists(st.text(st.sampled_from("ab:%2Fé\ud800xyz"), max_size=4), max_size=8),
        st.data(),
    )
    def test_no_secret_is_left(self, secrets: frozenset[str], pieces: list[str], data: st.DataObject) -> None:
        if secrets:
            pieces = [p for piece in pieces for p in (piece, data.draw(st.sampled_from(sorted(secrets))))]
        scrubbed = Secrets(secrets).scrub("".join(pieces))
        for secret in secrets:
            self.assertNotIn(secret, scrubbed)
