"""What an endpoint answered last: readable, and without secrets."""

from __future__ import annotations

import json
import re
from html import escape
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.redaction import Secrets
from pypinger.ports.showing import LastAnswer
from pypinger.web.app import resource
from pypinger.web.html.last_answer import DEEPEST, MOST_READINGS, _readings, indented, readable
from tests.web.browser import Page, task_page
from tests.web.fakes import NOW, entry, new_entry
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

# What may stand around a secret, and is nowhere in one.
_AROUND = " abc:{}[],."


def read(body: bytes | str, *secrets: str, cut: bool = False, url: str = "http://h/") -> str | None:
    sent = body if isinstance(body, bytes) else body.encode()
    return readable(LastAnswer(NOW, 200, sent, cut), url, Secrets(secrets))


class ReadableTests(SynchronousTestCase):
    def test_json(self) -> None:
        self.assertEqual(read(BODY), SHOWN)
        self.assertEqual(read(b"\xef\xbb\xbf" + BODY), SHOWN)

    def test_as_the_endpoint_wrote_it(self) -> None:
        for text in ('{\n  "a": 1,\n  "a": 1e999\n}', f'{{\n  "n": {"9" * 3000}\n}}', '"\\u00e4\\/ a : b"', "{ }", "7"):
            self.assertEqual(read(text), text)

    def test_what_is_no_json(self) -> None:
        for text in ("<h1>Bad Gateway</h1>\n<hr>nginx", '{"status": "ok",}', "", "{'a': 1}"):
            self.assertEqual(read(text), text)

    def test_what_is_nested_deeply(self) -> None:
        fine, deep, bomb = (f"{'[' * depth}1{']' * depth}" for depth in (DEEPEST, DEEPEST + 1, 2000))
        self.assertIn("\n", indented(fine))
        self.assertEqual(indented(deep), deep)
        self.assertEqual(indented(bomb), bomb)
        self.assertEqual(indented("[" * 4000), "[" * 4000)

    def test_cut(self) -> None:
        self.assertEqual(read('{"a": 1, "b"', cut=True), '{"a": 1, "b"…')
        # Nor is it taken for whole because it happens to be JSON as far as it goes.
        self.assertEqual(read('{"a": 1}', cut=True), '{"a": 1}…')
        # Half a character, and half an escape.
        for end in (
            "ä".encode()[:1],
            b"\\",
            b"\\u00",
            b"\\ud83d",
            b"\\ud83d\\u",
            b"&am",
            b"&#x3",
            b"&#000000000000000000000000000000000005",
        ):
            self.assertEqual(read(b"abc" + end, cut=True), "abc…")
        # And half an escape that only another one shows.
        for end in (
            "\\\\",
            "\\\\u00",
            "\\u0026a",
            "&amp;a",
            "%",
            "%4",
            "%C3",
            "%e2%82",
            "%e2%82%",
            "\\u0025c3",
            "%255",
            "%5C%25",
        ):
            self.assertEqual(read(f"abc{end}", cut=True), "abc…", end)
        self.assertEqual(read("abc%41", cut=True), "abc%41…")
        # What is left out needs no mask.
        self.assertEqual(read("abc&amp;hun", "hunter2", cut=True), "abc…")

    def test_what_is_no_text(self) -> None:
        self.assertIsNone(read(b"\x1f\x8b\x08\x00"))
        self.assertIsNone(read("hunter2".encode("utf-16"), "hunter2"))

    def test_what_is_no_utf_8(self) -> None:
        self.assertEqual(read(b"caf\xe9"), "caf\udce9")
        self.assertEqual(read("f\xfcr p\xe4ssw\xf6rt".encode("latin-1"), "p\xe4ssw\xf6rt"), "f\udcfcr ***")

    def test_secrets(self) -> None:
        for sent, shown in (
            ("hunter2", "***"),
            ('{"hunter2": 1, "b": "x hunter2"}', '{\n  "***": 1,\n  "b": "x ***"\n}'),
            ('{"a": "hunter\\u0032"}', '{\n  "a": "***"\n}'),
            ('{"\\u0068unter2": "\\u0068\\u0075\\u006e\\u0074\\u0065\\u0072\\u0032!"}', '{\n  "***": "***!"\n}'),
            ('{"a": "hunter\\u0032', '{"a": "***'),
            ("<p>hunter&#50; hunter&#x32;</p>", "<p>*** ***</p>"),
            ("<p>hunter&#000000000050 hunter&#x0000032;</p>", "<p>*** ***</p>"),
            ("%68unter2 hunter%32", "*** ***"),
            # What only looks like an escape is nothing that needs to be hidden.
            ("&amp; x&hunter2", "&amp; x&***"),
        ):
            self.assertEqual(read(sent, "hunter2"), shown)
        self.assertEqual(read('["p\\/\\ud83d\\uDE00\\"w"]', 'p/😀"w'), '[\n  "***"\n]')
        self.assertEqual(read("key=1&amp;other=2", "key=1&other=2"), "***")
        # Without its quotes it is JSON no more.
        self.assertEqual(read('{"a":12345678}', "12345678"), '{"a":***}')

    def test_percent_encodings(self) -> None:
        secret = "p!s(w)rd *~'é&"
        for sent in (
            "p!s(w)rd%20*~'%C3%A9%26",
            "p!s(w)rd+*%7E%27%c3%a9%26",
            "p%21s%28w%29rd+*%7E%27%C3%A9%26",
            "p%21s%28w%29rd%20%2A~%27%E9%26",
            "%70!s(w)rd *~'%E9&",
        ):
            self.assertEqual(read(f"<{sent}>", secret), "<***>", sent)
            for end in range(1, len(sent)):
                self.assertIn(read(sent[:end], secret, cut=True), ("…", "***…"), sent[:end])
        for sent in ("a+/€😀", "a%2b/%e2%82%ac%f0%9f%98%80", "a+%2F€😀"):
            self.assertEqual(read(sent, "a+/€😀"), "***")

    def test_escapes_in_escapes(self) -> None:
        secret = 'q"u\\o&/ä'
        written = json.dumps({"a": secret})
        for sent in (
            json.dumps({"err": written}),
            json.dumps(json.dumps({"err": written})),
            json.dumps({"err": f"<b>{escape(secret)}</b>"}).replace("&", "\\u0026"),
            json.dumps({"url": f"/?{escape(quote(secret))}"}).replace("%", "\\u0025"),
            f"<pre>{escape(written)}</pre>",
            quote(json.dumps(f"<i>{escape(secret)}</i>")),
            quote(quote(secret)),
        ):
            self.assertIn("***", read(sent, secret) or "")
            for end in range(len(sent)):
                shown = read(sent[:end], secret, cut=True) or ""
                self.assertNotIn("o", shown.replace("quot", ""), shown)

    def test_as_many_readings_as_are_affordable(self) -> None:
        sent = "hunter2 " + "".join(f"{'%25' * 3}41{'&amp;' * n}lt;{chr(92) * n}u0026" for n in range(1, 20))
        self.assertEqual((read(sent, "hunter2") or "")[:4], "*** ")
        self.assertEqual(len(_readings(sent, cut=False)), MOST_READINGS)

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
            ('["http:\\/\\/jane:p@w@h\\/x"]', '[\n  "http:\\/\\/***@h\\/x"\n]'),
            ("http://h/x jane@h", "http://h/x jane@h"),
            ("http://h:80/x http://@h/ http:///x@", "http://h:80/x http://@h/ http:///x@"),
            # Passwords as they are.
            ('{"dsn":"postgres://app:pa/ss#word@db/x"}', '{\n  "dsn": "postgres://***@db/x"\n}'),
            ("a://u:p?w@h a://u:p'w@h a://u@corp:<p/>@h", "a://***@h a://***@h a://***@h"),
            ("a%3A%2F%2Fu%3Apw%40h", "a%3A%2F%2F***%40h"),
        ):
            self.assertEqual(read(sent), shown)
        for end in ("", ":", ":p", ":p/a", ":p/a@", ":p@w"):
            self.assertEqual(read(f"see http://jane{end}", cut=True), "see http://***…")

    def test_a_secret_cut_in_half(self) -> None:
        for end in ("hunter", "hunt", "h", "x hunter\\u0", "hunter2", "hunter2 h"):
            shown = read(f"{end}", "hunter2", "other-secret", cut=True)
            self.assertNotIn("h", shown or "")
        self.assertEqual(read("a hun", "hunter2", cut=False), "a hun")
        # The longest one counts, and one that ends within the other.
        self.assertEqual(read("x abcab", "abcabc", "bx", cut=True), "x ***…")
        self.assertEqual(read("x xyzab", "xyzab", "abqqq", cut=True), "x ***…")
        self.assertEqual(read("all is well", "hunter2", cut=True), "all is well…")

    @settings(deadline=None, max_examples=300)
    @given(
        st.text(st.sampled_from('ABÄ😀"\\/&<%+'), min_size=1, max_size=8),
        st.lists(st.sampled_from(("json", "html", "percent")), max_size=2),
        st.text(st.sampled_from(_AROUND), max_size=6),
        st.text(st.sampled_from(_AROUND), max_size=6),
        st.integers(0, 150),
        st.data(),
    )
    @example("AÄ", ["json"], "a", "", 40, None)
    def test_nothing_of_a_secret_is_left(
        self, secret: str, ways: list[str], before: str, after: str, end: int, data: st.DataObject | None
    ) -> None:
        """Wherever it is cut and however it is escaped."""
        written = secret
        for way in ways:
            written = "".join(_escaped(c, way, data) for c in written)
        body = (before + written + after).encode()
        shown = read(body[:end], secret, cut=end < len(body))
        assert shown is not None
        self.assertLessEqual(set(shown), set(f"{_AROUND}*…\n"), (written, shown))


def _escaped(character: str, way: str, data: st.DataObject | None) -> str:
    if way == "html":
        forms = [f"&#{ord(character)};", f"&#x{ord(character):X};"]
        forms += {"&": ["&amp;"], "<": ["&lt;"], '"': ["&quot;"]}.get(character, [])
        forms += [] if character == "&" else [character]
    elif way == "percent":
        full = "".join(f"%{byte:02X}" for byte in character.encode())
        forms = [full, full.lower(), *([] if character in "%+" else [character])]
    else:
        full = "".join(f"\\u{unit:04x}" for unit in _utf_16(character))
        forms = [full, re.sub("(?<=\\\\u)....", lambda match: match.group().upper(), full)]
        forms += [json.dumps(character, ensure_ascii=False)[1:-1]]
        forms += ["\\/"] if character == "/" else []
    return forms[0] if data is None else data.draw(st.sampled_from(forms))


def _utf_16(character: str) -> list[int]:
    units = character.encode("utf-16-be")
    return [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]


class TaskPageTests(SynchronousTestCase):
    def test_what_was_answered(self) -> None:
        html = task_page(entry(), NOW, None, LastAnswer(NOW - 21, 200, BODY, False), "w1")
        page = Page(html)
        self.assertIn("Latest answer", page.text)
        self.assertIn('"rows": 1.50, "by": { "host": "***" }', page.text)
        self.assertIn("Received 21 s ago 22:28:13 UTC, HTTP 200. Secrets are masked.", page.text)
        self.assertNotIn("Last valid report", page.text)
        self.assertNotIn("cut at", page.text)

    def test_what_is_not_shown_whole(self) -> None:
        text = Page(task_page(entry(), NOW, None, LastAnswer(NOW, 200, b"x" * 4096, True))).text
        self.assertIn("It is cut at 4,096 bytes.", text)
        for body, words in ((b"", "It was empty."), (b"\0", "It is not text.")):
            self.assertIn(words, Page(task_page(entry(), NOW, None, LastAnswer(NOW, 200, body, False))).text)

    def test_with_which_status_code(self) -> None:
        text = Page(task_page(entry(kind=Kind.UNREACHABLE), NOW, None, LastAnswer(NOW - 21, 502, b"<hr>", False))).text
        self.assertIn("22:28:13 UTC, HTTP 502. Secrets", text)

    def test_values_of_its_own_query(self) -> None:
        made = entry("http://h/?code=azure-key")
        self.assertIn("is *** .", Page(task_page(made, NOW, None, LastAnswer(NOW, 200, b"is azure-key .", False))).text)

    def test_before_the_first_answer(self) -> None:
        text = Page(task_page(entry())).text
        self.assertIn("Last valid report", text)
        self.assertIn("As it was understood before Py Pinger was started.", text)
        for title in ("Last valid report", "Latest answer"):
            self.assertNotIn(title, Page(task_page(new_entry())).text)


class RouteTests(AppTestCase):
    def test_secrets_learned_since(self) -> None:
        secrets = Secrets({"hunter2"})
        self.treq = type(self.treq)(resource(self.board, lambda: NOW, secrets=secrets, reactor=self.clock))
        made = entry("http://h/a")
        self.board.answers[made.task.id] = LastAnswer(NOW, 200, b'"hunter2 token-1 hunter3 \xe4\xf6"', False)
        path = f"/task/{made.task.id}"
        self.assertIn('"*** token-1 hunter3', self.html(path))
        secrets.add("token-1")
        secrets.change({"hunter3"})
        self.assertIn("*** *** *** \ufffd\ufffd", self.html(path))

    def test_only_on_its_page(self) -> None:
        self.board.answers[entry("http://h/a").task.id] = LastAnswer(NOW, 200, b'{"mine": "only here"}', False)
        for path in ("/", "/task/http://h/b?x=1&y=2"):
            self.assertNotIn("only here", self.text(self.ask(path, Accept="text/html")))
