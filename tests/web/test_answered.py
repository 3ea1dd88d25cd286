"""What an endpoint answered last: readable, and without secrets."""

from __future__ import annotations

import json
import re
from html import unescape

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Fault, Invalid, Kind, NoAnswer, Report, Reported
from pypinger.domain.urls import Secrets
from pypinger.ports import LastAnswer, Run
from pypinger.web.answered import DEEPEST, indented, readable
from pypinger.web.app import resource
from pypinger.web.detail import Past
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


def read(body: bytes | str, *secrets: str, cut: bool = False) -> str | None:
    sent = body if isinstance(body, bytes) else body.encode()
    return readable(LastAnswer(NOW, sent, cut), Secrets(secrets))


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
        for end in ("ä".encode()[:1], b"\\", b"\\u00", b"\\ud83d", b"\\ud83d\\u", b"&am", b"&#x3"):
            self.assertEqual(read(b"abc" + end, cut=True), "abc…")

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
            ("%68unter2 hunter%32", "%68unter2 hunter%32"),
        ):
            self.assertEqual(read(sent, "hunter2"), shown)
        self.assertEqual(read('["p\\/\\ud83d\\uDE00\\"w"]', 'p/😀"w'), '[\n  "***"\n]')
        self.assertEqual(read("key=1&amp;other=2", "key=1&other=2"), "***")
        # Without its quotes it is JSON no more.
        self.assertEqual(read('{"a":12345678}', "12345678"), '{"a":***}')

    def test_userinfo_of_any_url(self) -> None:
        for sent, shown in (
            ("see http://jane:pw@h/x", "see http://***@h/x"),
            ('["http:\\/\\/jane:p@w@h\\/x"]', '[\n  "http:\\/\\/***@h\\/x"\n]'),
            ("http://h/x jane@h", "http://h/x jane@h"),
        ):
            self.assertEqual(read(sent), shown)
        self.assertEqual(read("see http://jane:p", cut=True), "see http://***…")

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
        st.text(st.sampled_from('ABÄ😀"\\/&<'), min_size=1, max_size=8),
        st.sampled_from(("json", "html")),
        st.text(st.sampled_from(" abc:{}[],."), max_size=6),
        st.text(st.sampled_from(" abc:{}[],."), max_size=6),
        st.integers(0, 40),
        st.data(),
    )
    @example("AÄ", "json", "a", "", 40, None)
    def test_nothing_of_a_secret_is_left(
        self, secret: str, way: str, before: str, after: str, end: int, data: st.DataObject | None
    ) -> None:
        """Wherever it is cut and however it is escaped."""
        written = "".join(_escaped(c, way, data) for c in secret)
        body = (before + written + after).encode()
        shown = read(body[:end], secret, cut=end < len(body))
        assert shown is not None
        left = unescape(re.sub(r"\\u....", "S", shown))
        self.assertEqual(set(left) & set('SABÄ😀"\\/&<\udcc3\udcf0'), set(), (written, shown))


def _escaped(character: str, way: str, data: st.DataObject | None) -> str:
    if way == "html":
        forms = [f"&#{ord(character)};", f"&#x{ord(character):X};"]
        forms += {"&": ["&amp;"], "<": ["&lt;"], '"': ["&quot;"]}.get(character, [])
        forms += [] if character == "&" else [character]
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
        html = task_page(entry(), NOW, None, LastAnswer(NOW - 21, BODY, False), "w1")
        page = Page(html)
        self.assertIn("Latest answer", page.text)
        self.assertIn('"rows": 1.50, "by": { "host": "***" }', page.text)
        self.assertIn("Received 21 s ago 22:28:13 UTC. Secrets are masked.", page.text)
        self.assertNotIn("Last valid report", page.text)
        self.assertNotIn("cut at", page.text)

    def test_what_is_not_shown_whole(self) -> None:
        text = Page(task_page(entry(), NOW, None, LastAnswer(NOW, b"x" * 4096, True))).text
        self.assertIn("It is cut at 4,096 bytes.", text)
        for body, words in ((b"", "It was empty."), (b"\0", "It is not text.")):
            self.assertIn(words, Page(task_page(entry(), NOW, None, LastAnswer(NOW, body, False))).text)

    def test_with_which_status_code(self) -> None:
        old = Report(ok=True, lastrun=NOW - 99)
        runs = (
            Run(4, NOW - 5, NOW - 2, 2, NoAnswer(Fault.REFUSED, "refused", 0.0)),
            Run(3, NOW - 21.0004, NOW - 21.0004, 1, Invalid(502, "no JSON")),
            Run(2, NOW - 99, NOW - 99, 1, Reported(200, old)),
        )
        made = _past_of(runs)
        text = Page(task_page(entry(kind=Kind.UNREACHABLE), NOW, made, LastAnswer(NOW - 21, b"<hr>", False))).text
        self.assertIn("22:28:13 UTC, HTTP 502. Secrets", text)
        # The history may not know of it yet.
        text = Page(task_page(entry(), NOW, made, LastAnswer(NOW, b"<hr>", False))).text
        self.assertIn("22:28:34 UTC. Secrets", text)

    def test_before_the_first_answer(self) -> None:
        text = Page(task_page(entry())).text
        self.assertIn("Last valid report", text)
        self.assertIn("As it was understood before Py Pinger was started.", text)
        for title in ("Last valid report", "Latest answer"):
            self.assertNotIn(title, Page(task_page(new_entry())).text)


def _past_of(runs: tuple[Run, ...]) -> Past:
    return Past(runs, (), (), {}, (), ())


class RouteTests(AppTestCase):
    def test_secrets_learned_since(self) -> None:
        secrets = Secrets({"hunter2"})
        self.treq = type(self.treq)(resource(self.board, lambda: NOW, secrets=secrets, reactor=self.clock))
        made = entry("http://h/a")
        self.board.answers[made.task.id] = LastAnswer(NOW, b'"hunter2 token-1 hunter3 \xe4\xf6"', False)
        path = f"/task/{made.task.id}"
        self.assertIn('"*** token-1 hunter3', self.html(path))
        secrets.add("token-1")
        secrets.change({"hunter3"})
        self.assertIn("hunter2 *** *** \ufffd\ufffd", self.html(path))

    def test_only_on_its_page(self) -> None:
        self.board.answers[entry("http://h/a").task.id] = LastAnswer(NOW, b'{"mine": "only here"}', False)
        for path in ("/", "/task/http://h/b?x=1&y=2"):
            self.assertNotIn("only here", self.text(self.ask(path, Accept="text/html")))
