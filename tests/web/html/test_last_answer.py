"""The last answer of an endpoint: readable, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.redaction import Secrets
from pypinger.ports.showing import LastAnswer
from pypinger.web.html.last_answer import DEEPEST, indented, readable
from tests.web.browser import Page, task_page
from tests.web.fakes import NOW, entry, new_entry
from tests.web.pages import make_pages
from tests.web.test_app import AppTestCase

BODY = (
    b'{"status": "ok", "lastrun": "2026-11-22T22:23:34Z", "rows": 1.50, "by": {"host": "w1"}, "none": [], "ok": [1, 2]}'
)
SHOWN = """{
  "status": "ok",
  "lastrun": "2026-11-22T22:23:34Z",
  "rows": 1.50,
  "by": {
    "host": "w1"
  },
  "none": [],
  "ok": [
    1,
    2
  ]
}"""

# Text around a secret; no secret contains these characters.
_AROUND = " abc:{}[],."


#: How answers repeat a secret.
FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    lambda secret: quote(secret, safe=""),
    quote,
)


def read(body: bytes | str, *secrets: str, cut: bool = False, url: str = "http://h/") -> str | None:
    sent = body if isinstance(body, bytes) else body.encode()
    return readable(LastAnswer(NOW, 200, sent, cut), url, Secrets(secrets))


class ReadableTests(SynchronousTestCase):
    def test_json(self) -> None:
        self.assertEqual(read(BODY), SHOWN)
        self.assertEqual(read(b"\xef\xbb\xbf" + BODY), SHOWN)

    def test_json_is_not_normalised(self) -> None:
        for text in ('{\n  "a": 1,\n  "a": 1e999\n}', f'{{\n  "n": {"9" * 3000}\n}}', '"\u00e4\n a : b"', "{ }", "7"):
            self.assertEqual(read(text), text)

    def test_needless_escapes(self) -> None:
        """They could hide a secret."""
        for text, shown in (
            (r'"\u0041\/\u007e"', '"A/~"'),
            (r'"\u0022\u005c\u007f\u000a"', r'"\u0022\u005c\u007f\u000a"'),
            (r'"\\u0041 \\\u0041 \\/"', r'"\\u0041 \\A \\/"'),
        ):
            self.assertEqual(read(text), shown)

    def test_not_json(self) -> None:
        for text in ("<h1>Bad Gateway</h1>\n<hr>nginx", '{"status": "ok",}', "", "{'a': 1}"):
            self.assertEqual(read(text), text)

    def test_deep_nesting(self) -> None:
        fine, deep, bomb = (f"{'[' * depth}1{']' * depth}" for depth in (DEEPEST, DEEPEST + 1, 2000))
        self.assertIn("\n", indented(fine))
        self.assertEqual(indented(deep), deep)
        self.assertEqual(indented(bomb), bomb)
        self.assertEqual(indented("[" * 4000), "[" * 4000)

    def test_cut(self) -> None:
        self.assertEqual(read('{"a": 1, "b"', cut=True), '{"a": 1, "b"…')
        # It is not indented, even if the part is valid JSON.
        self.assertEqual(read('{"a": 1}', cut=True), '{"a": 1}…')
        # Half a character, and half an escape.
        for end in ("ä".encode()[:1], b"\\", b"\\u00", b"&am", b"&#x3", b"%", b"%4"):
            self.assertEqual(read(b"abc" + end, cut=True), "abc…")
        self.assertEqual(read("abc%41", cut=True), "abc%41…")

    def test_not_text(self) -> None:
        self.assertIsNone(read(b"\x1f\x8b\x08\x00"))
        self.assertIsNone(read("hunter2".encode("utf-16"), "hunter2"))

    def test_not_utf_8(self) -> None:
        self.assertEqual(read(b"caf\xe9"), "caf\udce9")
        self.assertEqual(read("f\xfcr p\xe4ssw\xf6rt".encode("latin-1"), "p\xe4ssw\xf6rt"), "f\udcfcr ***")

    def test_secrets(self) -> None:
        for sent, shown in (
            ("hunter2", "***"),
            ('{"hunter2": 1, "b": "x hunter2"}', '{\n  "***": 1,\n  "b": "x ***"\n}'),
            ('{"a": "hunter\\u0032"}', '{\n  "a": "***"\n}'),
            ('{"\\u0068unter2": "\\u0068\\u0075\\u006e\\u0074\\u0065\\u0072\\u0032!"}', '{\n  "***": "***!"\n}'),
            ('{"a": "hunter\\u0032', '{"a": "***'),
            ("&amp; x&hunter2", "&amp; x&***"),
        ):
            self.assertEqual(read(sent, "hunter2"), shown)
        self.assertEqual(read('["p\\/\\ud83d\\ude00\\"w"]', 'p/😀"w'), '[\n  "***"\n]')
        # The mask makes it invalid JSON.
        self.assertEqual(read('{"a":12345678}', "12345678"), '{"a":***}')

    def test_percent_encodings(self) -> None:
        secret = "p!s(w)rd *~'é&"
        for sent in ("p!s(w)rd%20*~'%C3%A9%26", "p!s(w)rd+*%7e'%c3%a9%26", "p%21s%28w%29rd+%2A~%27%C3%A9%26"):
            self.assertEqual(read(f"<{sent}>", secret), "<***>", sent)
            for end in range(1, len(sent)):
                self.assertIn(read(sent[:end], secret, cut=True), ("…", "***…"), sent[:end])

    def test_values_of_the_query(self) -> None:
        url = "https://h/x?code=Az%2Fure+key==&page=12&bare-value&n=production;m=semi=colon"
        for sent, shown in (
            ('{"code":"Az/ure key==","page":12}', '{\n  "code": "***",\n  "page": 12\n}'),
            ("Az%2Fure+key== 12 page", "*** 12 page"),
            ("bare-value production semi=colon", "*** *** ***"),
        ):
            self.assertEqual(read(sent, url=url), shown)
        self.assertEqual(read("12 Az/ure", url=url, cut=True), "12 ***…")

    def test_userinfo_of_any_url(self) -> None:
        for sent, shown in (
            ("see http://jane:pw@h/x", "see http://***@h/x"),
            ('["http:\\/\\/jane:p@w@h\\/x"]', '[\n  "http://***@h/x"\n]'),
            ("http://h/x jane@h", "http://h/x jane@h"),
            ("http://h:80/x http://@h/ http:///x@", "http://h:80/x http://@h/ http:///x@"),
            # Passwords that are not percent-encoded.
            ('{"dsn":"postgres://app:pa/ss#word@db/x"}', '{\n  "dsn": "postgres://***@db/x"\n}'),
            ("a://u:p?w@h a://u:p'w@h a://u@corp:<p/>@h", "a://***@h a://***@h a://***@h"),
        ):
            self.assertEqual(read(sent), shown)
        for end in ("", ":", ":p", ":p/a", ":p/a@", ":p@w"):
            self.assertEqual(read(f"see http://jane{end}", cut=True), "see http://***…")

    def test_secret_at_the_cut(self) -> None:
        for end in ("hunter", "hunt", "h", "x hunter\\u0", "hunter2", "hunter2 h"):
            shown = read(f"{end}", "hunter2", "other-secret", cut=True)
            self.assertNotIn("h", shown or "")
        self.assertEqual(read("a hun", "hunter2", cut=False), "a hun")
        # Of overlapping secrets, and of prefixes, the longest counts.
        self.assertEqual(read("x abcab", "abcabc", "bx", cut=True), "x ***…")
        self.assertEqual(read("x xyzab", "xyzab", "abqqq", cut=True), "x ***…")
        self.assertEqual(read("all is well", "hunter2", cut=True), "all is well…")

    @settings(deadline=None, max_examples=300)
    @given(
        st.text(st.sampled_from('ABÄ😀"\\/&<%+'), min_size=1, max_size=8),
        st.sampled_from(FORMS),
        st.text(st.sampled_from(_AROUND), max_size=6),
        st.text(st.sampled_from(_AROUND), max_size=6),
        st.integers(0, 150),
    )
    @example("AÄ", FORMS[1], "a", "", 40)
    def test_no_part_of_a_secret_is_shown(
        self, secret: str, form: Callable[[str], str], before: str, after: str, end: int
    ) -> None:
        """Wherever it is cut."""
        body = (before + form(secret) + after).encode()
        shown = read(body[:end], secret, cut=end < len(body))
        assert shown is not None
        self.assertLessEqual(set(shown), set(f"{_AROUND}*…\n"), (body, shown))


class TaskPageTests(SynchronousTestCase):
    def test_body(self) -> None:
        html = task_page(entry(), NOW, None, LastAnswer(NOW - 21, 200, BODY, False), "w1")
        page = Page(html)
        self.assertIn("Latest answer", page.text)
        self.assertIn('"rows": 1.50, "by": { "host": "***" }', page.text)
        self.assertIn("Received 21 s ago 22:28:13 UTC, HTTP 200. Secrets are masked.", page.text)
        self.assertNotIn("Last valid report", page.text)
        self.assertNotIn("cut at", page.text)

    def test_cut_empty_and_binary_bodies(self) -> None:
        text = Page(task_page(entry(), NOW, None, LastAnswer(NOW, 200, b"x" * 4096, True))).text
        self.assertIn("Cut at 4,096 bytes.", text)
        for body, words in ((b"", "Empty."), (b"\0", "Not text.")):
            self.assertIn(words, Page(task_page(entry(), NOW, None, LastAnswer(NOW, 200, body, False))).text)

    def test_after_redirects(self) -> None:
        answer = LastAnswer(NOW, 200, BODY, False, url="http://h/other?…")
        text = Page(task_page(entry(), NOW, None, answer)).text
        self.assertIn("HTTP 200 from http://h/other?…, after redirects. Secrets are masked.", text)

    def test_other_origin(self) -> None:
        """Its body is not shown."""
        answer = LastAnswer(NOW, 200, b"internal page", False, url="http://intranet/", foreign=True)
        text = Page(task_page(entry(), NOW, None, answer)).text
        self.assertIn("Not shown: it is from another origin.", text)
        self.assertIn("HTTP 200 from http://intranet/, after redirects.", text)
        self.assertNotIn("internal page", text)

    def test_status_code(self) -> None:
        text = Page(task_page(entry(kind=Kind.UNREACHABLE), NOW, None, LastAnswer(NOW - 21, 502, b"<hr>", False))).text
        self.assertIn("22:28:13 UTC, HTTP 502. Secrets", text)

    def test_values_of_the_query(self) -> None:
        made = entry("http://h/?code=azure-key")
        self.assertIn("is *** .", Page(task_page(made, NOW, None, LastAnswer(NOW, 200, b"is azure-key .", False))).text)

    def test_before_the_first_answer(self) -> None:
        text = Page(task_page(entry())).text
        self.assertIn("Last valid report", text)
        self.assertIn("From before this start of Py Pinger", text)
        for title in ("Last valid report", "Latest answer"):
            self.assertNotIn(title, Page(task_page(new_entry())).text)


class RouteTests(AppTestCase):
    def test_secrets_added_later(self) -> None:
        secrets = Secrets({"hunter2"})
        self.treq = type(self.treq)(make_pages(self.board, self.clock, secrets=secrets).resource)
        made = entry("http://h/a")
        self.board.answers[made.task.id] = LastAnswer(NOW, 200, b'"hunter2 token-1 hunter3 \xe4\xf6"', False)
        path = f"/task/{made.task.id}"
        self.assertIn('"*** token-1 hunter3', self.html(path))
        secrets.add("token-1")
        secrets.change({"hunter3"})
        self.assertIn("*** *** *** \ufffd\ufffd", self.html(path))

    def test_shown_on_its_page_only(self) -> None:
        self.board.answers[entry("http://h/a").task.id] = LastAnswer(NOW, 200, b'{"mine": "only here"}', False)
        for path in ("/", "/task/http://h/b?x=1&y=2"):
            self.assertNotIn("only here", self.text(self.ask(path, Accept="text/html")))
