"""Tests for :mod:`pypinger.domain.redaction`."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus, unquote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.redaction import MASK, MOST_ADDED, Secrets, secret_parts, url_secrets
from tests.domain.strategies import thorough


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

    def test_every_long_segment(self) -> None:
        self.assertEqual(
            secret_parts("https://h/api/abcdefghijklmnop/123456789012345/qrstuvwxyz012345/"),
            (
                "https://h/api/abcdefghijklmnop/123456789012345/qrstuvwxyz012345/",
                "/api/abcdefghijklmnop/123456789012345/qrstuvwxyz012345/",
                "abcdefghijklmnop",
                "qrstuvwxyz012345",
            ),
        )

    def test_short_parts_are_left_out(self) -> None:
        self.assertEqual(secret_parts("https://h/hook"), ("https://h/hook",))
        self.assertEqual(secret_parts("https://h/a/webhook/"), ("https://h/a/webhook/", "/a/webhook/"))


class UrlSecretsTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for text, secrets in [
            ("http://h/path", set()),
            ("http://h/path#fragment-that-is-long?x=12345678", set()),
            ("http://jane:pa%2Fss@h/", {"jane:pa%2Fss", "pa%2Fss"}),
            ("http://t0ken@h/", {"t0ken"}),
            ("http://a@b:c@h/", {"a@b:c"}),
            ("http://h/?a=1&b=1234567", {"a=1&b=1234567"}),
            ("http://h/?a=1", set()),
            ("http://h/?a=12345678", {"a=12345678", "12345678"}),
            ("http://h/?12345678#x", {"12345678"}),
            ("?a=b%20c%20d%2B+e", {"a=b%20c%20d%2B+e", "b%20c%20d%2B+e", "b c d++e", "b c d+ e"}),
            ("http://h/?a=x;key=12345678", {"a=x;key=12345678", "x;key=12345678", "12345678"}),
            ("ftp://:pw@\n/ ?token=12345678", {"token=12345678", "12345678"}),
            ("", set()),
        ]:
            self.assertEqual(url_secrets(text), secrets, text)

    @thorough
    @given(st.text(), st.text())
    def test_any_text(self, text: str, value: str) -> None:
        for each in (text, f"http://{text}", f"http://h/?{text}"):
            self.assertTrue(all(len(secret) >= 4 for secret in url_secrets(each)))
        for separator in ("&", ";"):
            secret = quote(f"12345678{value}", safe="")
            self.assertIn(secret, url_secrets(f"http://h/?a=1{separator}b={secret}&c=3"))


class SecretsTests(SynchronousTestCase):
    def test_secrets_learned_while_running(self) -> None:
        secrets = Secrets({"hunter2"})
        secrets.add("tok/en")
        self.assertEqual(secrets.scrub("hunter2 tok%2Fen token"), "*** *** token")
        for number in range(MOST_ADDED):
            secrets.add(f"another-{number}")
        self.assertEqual(secrets.scrub("hunter2 tok/en another-0"), "*** tok/en ***")

    def test_former_secrets_stay_hidden(self) -> None:
        secrets = Secrets({"hunter2"})
        secrets.add("tok/en")
        secrets.change({"hunter3"})
        secrets.change(set())
        secrets.change({"hunter4"})
        self.assertEqual(secrets.scrub("hunter2 hunter3 hunter4 tok/en"), "*** *** *** ***")

    def test_basic_of_what_was_encoded(self) -> None:
        sent = b64encode(b"user:p@ss").decode()
        self.assertEqual(Secrets({"user:p%40ss"}).scrub(f"Basic {sent}"), "Basic ***")

    def test_text_without_secrets_is_unchanged(self) -> None:
        text = "last ran 21:55:00 UTC"
        self.assertIs(Secrets().scrub(text), text)
        self.assertIs(Secrets([""]).scrub(text), text)
        self.assertIs(Secrets(frozenset({"hunter2", "last ran 99"})).scrub(text), text)

    def test_every_occurrence(self) -> None:
        self.assertEqual(Secrets({"hunter2"}).scrub("hunter2, hunter2hunter2."), "***, ******.")

    def test_encoded_forms(self) -> None:
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
    @given(st.text(st.characters(codec="utf-8"), min_size=4, max_size=12), st.text(st.characters(codec="utf-8")))
    def test_any_secret_in_every_form(self, secret: str, around: str) -> None:
        scrub = Secrets({secret}).scrub
        for form in (
            quote(secret),
            quote(secret, safe=""),
            quote(secret, safe="").lower() if secret.isascii() and secret.islower() else quote(secret),
            quote_plus(secret),
            unquote(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            *((b64encode(secret.encode()).decode(),) if ":" in secret else ()),
        ):
            self.assertIn(MASK, scrub(f"{around}{form}{around}"))
            self.assertEqual(scrub(form).replace(MASK, ""), "")

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
