"""Ini sections that are written: names, values, lengths of time, comments."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.config import forms, ini
from pypinger.config.importing.sections import ImportedTask, SectionNames, duration, value, written
from pypinger.config.substitution import Substitution
from pypinger.domain.durations import parse_duration


def parsed(lines: str) -> Mapping[str, ini.IniSection]:
    """The sections of a text that must have no problem."""
    problems: list[object] = []
    sections = ini.parse(lines, lambda *problem: problems.append(problem), lambda *warning: problems.append(warning))
    assert not problems, problems
    return sections


class NameTests(SynchronousTestCase):
    def test_unique_in_any_letter_case(self) -> None:
        names = SectionNames()
        self.assertEqual(
            [names.unique(each) for each in ("Job", "job", "JOB", "job 2")], ["Job", "job 2", "JOB 3", "job 2 2"]
        )

    def test_no_url(self) -> None:
        self.assertEqual(SectionNames().unique("https://a.example/x"), "https:a.example/x")

    def test_nothing_left(self) -> None:
        names = SectionNames()
        self.assertEqual(
            [names.unique(each, "check") for each in ("", " [\n] ", "\u200e")], ["check", "check 2", "check 3"]
        )

    @settings(deadline=None)
    @given(st.lists(st.text(), max_size=5))
    def test_any_names_are_sections(self, texts: list[str]) -> None:
        names = SectionNames()
        tasks = [ImportedTask(names.unique(text), {"push_key": "k"}) for text in texts]
        sections = parsed("\n".join(written((), tasks)))
        self.assertEqual(list(sections), [f"task {task.name}" for task in tasks])
        self.assertFalse(any("://" in name for name in sections))


class ValueTests(SynchronousTestCase):
    def test_they_mean_themselves(self) -> None:
        for text, expected in (
            ("Nightly backup", "Nightly backup"),
            ("two\nlines\t and   spaces", "two lines and spaces"),
            ("see ${file:/etc/passwd}", "see $ {file:/etc/passwd}"),
            ("costs $5", "costs $5"),
            ("every # hour", "every #hour"),
            ("issue #12; soon ; later", "issue #12; soon; later"),
            ('"quoted"', "quoted"),
            ("# all", "all"),
            ("x" * 300, "x" * 199 + "…"),
        ):
            self.assertEqual(value(text), expected)

    @settings(deadline=None)
    @given(st.text(st.sampled_from("ab ;#\"'${}:env\n\r\t\x85\u2028[]=\ud800")) | st.text())
    def test_any_text_is_one_value_without_warnings(self, text: str) -> None:
        shown = value(text)
        sections = parsed(f"[task a]\nnote = {shown}")
        self.assertEqual(sections["task a"].options["note"].value, shown)
        self.assertEqual(forms.mistake("note", [shown]), "")
        said: list[str] = []
        self.assertEqual(Substitution({}, "/").apply(shown, said.append, said.append).text, shown)  # type: ignore[union-attr]
        self.assertEqual(said, [])


class DurationTests(SynchronousTestCase):
    def test_words(self) -> None:
        for seconds, expected in (
            (0, "0s"),
            (90, "1m 30s"),
            (60, "1m"),
            (3600, "1h"),
            (5400, "1h 30m"),
            (86_400, "1d"),
            (1.5, "1.5s"),
            (0.1 + 0.2, "0.3s"),
            (1.66e-49, "0.001s"),
        ):
            self.assertEqual(duration(seconds), expected)

    @given(st.integers(0, 366 * 86_400))
    def test_settings_read_them(self, seconds: int) -> None:
        self.assertEqual(parse_duration(duration(seconds)), seconds)

    @given(st.floats(0, 366 * 86_400))
    def test_settings_read_fractions(self, seconds: float) -> None:
        self.assertLess(abs(parse_duration(duration(seconds)) - seconds), 0.0011)


class CommentTests(SynchronousTestCase):
    def test_a_comment_is_one_line(self) -> None:
        lines = list(written(["a\r[main]\nb\x0b\t"], [], ["end"]))
        self.assertEqual(lines, ["# a [main] b", "", "# end"])
        self.assertEqual(parsed("\n".join(lines)), {})
