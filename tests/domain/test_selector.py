"""Tests for :mod:`pypinger.domain.selector`."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.selector import SelectorError, Subject, parse, parse_typed
from tests.domain.strategies import thorough

URL = "https://example.com/reports/import?key=1"
IMPORT = Subject(
    name="Nightly import",
    url=URL,
    id="0123456789ab",
    group="billing",
    process="import.py",
    server="DB1.example.com",
    kind="late",
)


class MatchTests(SynchronousTestCase):
    def test_table(self) -> None:
        for text, expected in [
            ("", True),
            ("*", True),
            ("nightly*", True),
            ("nightly", False),
            ('"nightly import"', True),
            ("'Nightly import'", True),
            ('name:"nightly *"', True),
            ('"name:nightly import"', True),
            ("0123456789ab", True),
            (URL, True),
            ("https://example.com/*", True),
            ("*://example.com/*", True),
            ("http://*", False),
            ("*key=1", True),
            ("url:*import*", True),
            ("name:https*", False),
            ("server:db1*", True),
            ("server:db1", False),
            ("server:db2*|db1*", True),
            ("server:db2*|process:import.py", True),
            ("process:import?py", True),
            ("group:billing kind:late", True),
            ("  group:billing   kind:late ", True),
            ("group:billing kind:failed", False),
            ("kind:failed|late", True),
            ("!kind:late", False),
            ("!kind:failed|ok", True),
            ("!server:db2* nightly*", True),
            ("nope|nightly*", True),
            ("GROUP:BILLING", True),
            ("group:", None),
            ("server:db1|", None),
        ]:
            if expected is None:
                self.assertRaises(SelectorError, parse, text)
            else:
                self.assertIs(parse(text).matches(IMPORT), expected, text)

    def test_name_is_never_what_a_report_says(self) -> None:
        self.assertFalse(parse("import.py").matches(IMPORT))
        self.assertFalse(parse("name:import.py").matches(IMPORT))

    def test_a_url_that_holds_glob_characters_matches_itself(self) -> None:
        self.assertTrue(parse("http://h/[x]?a=*").matches(Subject("h/[x]?…", "http://h/[x]?a=*", "1")))

    def test_a_url_among_alternatives(self) -> None:
        self.assertTrue(parse("server:zz|http://h/i").matches(Subject("x", "http://h/i", "1")))

    def test_a_task_without_a_url(self) -> None:
        pushes = Subject(name="Nightly import", url="", id="0123456789ab")
        for text, expected in (("url:*", False), ("!url:*", True), ("*://*", False), ("*", True), ("name:*", True)):
            self.assertIs(parse(text).matches(pushes), expected, text)

    def test_unknown_tags(self) -> None:
        new = Subject("a", "http://h/a", "1", tagged=False)
        for text in ["server:db1", "!server:db1", "process:x", "server:db1 name:a"]:
            self.assertTrue(parse(text).matches(new, unknown_tags=True), text)
        self.assertFalse(parse("server:db1").matches(new))
        self.assertFalse(parse("server:db1 name:b").matches(new, unknown_tags=True))
        self.assertFalse(parse("server:db2*").matches(IMPORT, unknown_tags=True))

    def test_problems(self) -> None:
        for text, words in [
            ("sever:db1", "unknown prefix sever:; did you mean server:?"),
            ("x:y", "unknown prefix x:; there are name:, url:, server:, process:, group:, kind:"),
            ('"nightly', 'a quote (") is not closed'),
            ("a||b", "has an empty alternative"),
            ("!", "has an empty alternative"),
        ]:
            self.assertIn(words, str(self.assertRaises(SelectorError, parse, text)), text)

    def test_typed_in_a_shell(self) -> None:
        self.assertTrue(parse_typed("Nightly import", [IMPORT]).matches(IMPORT))
        self.assertFalse(parse_typed("Nightly other", [IMPORT]).matches(IMPORT))
        self.assertTrue(parse_typed("nightly* kind:late", [IMPORT]).matches(IMPORT))

    def test_a_typed_name_that_looks_like_notation(self) -> None:
        names = (
            "db:nightly",
            "db: nightly",
            "!import",
            "a|b",
            "a b|c",
            "name:a",
            'say "it\'s"',
            "'a'",
            "localhost:8080/x",
        )
        subjects = [Subject(name, f"http://h/{number}", f"id{number}") for number, name in enumerate(names)]
        subjects.append(Subject("http://localhost/", "http://localhost/", "shown", aliases=("localhost:80/",)))
        subjects.append(Subject("db:nightly", "http://other/", "twin"))
        for typed, ids in (
            *((name, [f"id{number}"]) for number, name in enumerate(names)),
            ("localhost:80/", ["shown"]),
        ):
            selector = parse_typed(typed, subjects)
            found = [each.id for each in subjects if selector.matches(each)]
            self.assertEqual(found, ids + ["twin"] * (typed == "db:nightly"), typed)
            # As a silence keeps it.
            self.assertEqual(parse(selector.text).words, selector.words)
        self.assertRaises(SelectorError, parse_typed, "db:weekly", subjects)
        # A push task has no URL.
        subjects.append(Subject("push", "", "pushed", aliases=("push", "")))
        self.assertEqual(parse_typed(" ", subjects).words, ())

    def test_fields(self) -> None:
        self.assertEqual(parse("name:a|b server:c").fields, {"name", "server"})
        self.assertEqual(parse("a").fields, {""})

    @thorough
    @given(st.text("ab*?.", min_size=1, max_size=8), st.text("ab.", max_size=8))
    def test_globs_match_the_whole_text(self, pattern: str, name: str) -> None:
        regex = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
        expected = re.fullmatch(regex, name, re.DOTALL) is not None or pattern == name
        self.assertIs(parse(f"name:{pattern}").matches(Subject(name, "http://h/", "1")), expected)

    @thorough
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        try:
            parse(text).matches(IMPORT)
        except SelectorError as error:
            self.assertTrue(str(error))
