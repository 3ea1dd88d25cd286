"""The parser of ini files: configparser's dialect, with line numbers and all errors."""

from __future__ import annotations

import configparser
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config import ini

LINES = st.sampled_from(
    [
        "[main]",
        "[urls]",
        "[task http://[::1]:8000/x?a=b%25]",
        "[main] ; more",
        "a = 1",
        "b: 2",
        "A=3",
        "c =",
        "d = e = f : g",
        "  indented = 1",
        "    deeper",
        "\tTab",
        "",
        "   ",
        "# comment",
        "  ; comment",
        "no delimiter",
        "= no name",
        "[unclosed",
        "é : ü",
    ]
)


class Parsed:
    """The result of `ini.parse`."""

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[int, str, str, str]] = []
        self.warnings: list[tuple[int, str, str, str]] = []
        self.sections = ini.parse(
            text, lambda *problem: self.problems.append(problem), lambda *warning: self.warnings.append(warning)
        )

    @property
    def values(self) -> dict[str, dict[str, str]]:
        return {
            name: {option.name: option.value for option in section.options.values()}
            for name, section in self.sections.items()
        }


class ParseTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Sections, options and value lines have line numbers."""
        found = Parsed("# first\n[main]\nA: 1\r\nb =\n\n  x\n  # no part of it\n  y\r[urls]\n")
        self.assertEqual(found.values, {"main": {"a": "1", "b": "\n\nx\ny"}, "urls": {}})
        main = found.sections["main"]
        self.assertEqual([main.line, main.options["a"].line, main.options["b"].line], [2, 3, 4])
        self.assertEqual(main.options["b"].lines, [(4, ""), (5, ""), (6, "x"), (8, "y")])
        self.assertEqual(found.sections["urls"].line, 9)
        self.assertEqual(found.problems, [])

    def test_header_with_brackets(self) -> None:
        """A section's name ends at the last bracket, so an IPv6 URL can be one."""
        found = Parsed("[task http://[::1]:8000/x?a=b:c%20]\ntimeout = 1\n")
        self.assertEqual(found.values, {"task http://[::1]:8000/x?a=b:c%20": {"timeout": "1"}})

    def test_no_interpolation(self) -> None:
        """``%`` is literal."""
        self.assertEqual(Parsed("[main]\ngreeting = 100%\nx = %(greeting)s").values["main"]["x"], "%(greeting)s")

    def test_default_does_not_leak(self) -> None:
        """``[DEFAULT]`` is an ordinary section."""
        found = Parsed("[DEFAULT]\na = 1\n[main]\n")
        self.assertEqual(found.values, {"DEFAULT": {"a": "1"}, "main": {}})

    def test_every_error(self) -> None:
        """All errors are found, with their places, and none quotes a value."""
        found = Parsed("a = SECRET\nSECRET\n[main]\nSECRET\n= SECRET\nx = 1\nX = SECRET\n[main]\ny = 1\n[]\n[x\nz\n")
        places = [problem[:3] for problem in found.problems]
        expected = [(1, "", ""), (4, "main", ""), (5, "main", ""), (7, "main", "x"), (8, "main", ""), (10, "", "")]
        self.assertEqual(places, [*expected, (11, "", ""), (12, "", "")])
        self.assertNotIn("SECRET", str(found.problems))
        self.assertIn("in line 6", found.problems[3][3])
        self.assertIn("in line 3", found.problems[4][3])
        self.assertEqual(found.values, {"main": {"x": "1", "y": "1"}})

    def test_options_below_an_invalid_header(self) -> None:
        """They do not become options of the section above."""
        found = Parsed("[main]\na = 1\n[slack\na = 2\nb = 3\n")
        self.assertEqual(found.values, {"main": {"a": "1"}})
        self.assertEqual([problem[0] for problem in found.problems], [3])

    def test_text_after_header(self) -> None:
        """Text after a header is ignored, as in configparser, with a warning unless it is a comment."""
        found = Parsed("[main] ; fine\n[urls] x = 1\n")
        self.assertEqual([(line, section) for line, section, _, _ in found.warnings], [(2, "urls")])
        self.assertEqual(found.problems, [])

    @settings(deadline=None, max_examples=150)
    @given(st.lists(LINES, max_size=14).map("\n".join))
    def test_as_configparser(self, text: str) -> None:
        """The values are those of configparser, and what configparser refuses is a problem."""
        parser = configparser.ConfigParser(interpolation=None, default_section="\0")
        found = Parsed(text)
        try:
            parser.read_string(text)
        except configparser.Error:
            self.assertTrue(found.problems)
        else:
            # configparser takes an unclosed header as an option, if a delimiter follows.
            self.assertEqual(found.problems, [])
            self.assertEqual(found.values, {name: dict(parser[name]) for name in parser.sections()})

    @settings(deadline=None, max_examples=200)
    @given(st.text(st.sampled_from("[]=: \t\n\r\x0b\x1c#;a\u2028é"), max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text raises; without problems the values are those of configparser."""
        found = Parsed(text)
        lines = len(re.split("\r\n|\r|\n", text))
        for line, *_ in found.problems:
            self.assertTrue(1 <= line <= lines)
        if found.problems:
            return
        parser = configparser.ConfigParser(interpolation=None, default_section="\0")
        parser.read_file(re.split("\r\n|\r|\n", text))
        self.assertEqual(found.values, {name: dict(parser[name]) for name in parser.sections()})
