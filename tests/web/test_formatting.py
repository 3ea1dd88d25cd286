"""Values as words."""

from twisted.trial.unittest import SynchronousTestCase

from pypinger.web import formatting
from tests.web.fakes import NOW


class FormattingTests(SynchronousTestCase):
    def test_relative(self) -> None:
        for offset, text in ((0, "now"), (-0.9, "now"), (-1, "1 s ago"), (1, "in 1 s"), (-720, "12 min ago")):
            self.assertEqual(formatting.relative(NOW + offset, NOW), text)

    def test_coming(self) -> None:
        for offset, text in ((61, "in 1 min"), (1, "in 1 s"), (0.9, "due now"), (0, "due now"), (-59, "due now")):
            self.assertEqual(formatting.coming(NOW + offset, NOW), text)
        self.assertEqual(formatting.coming(NOW - 60, NOW), "due 1 min ago")

    def test_shown(self) -> None:
        for text, expected in (
            ("plain", "plain"),
            ("naïve 10\N{NARROW NO-BREAK SPACE}000", "naïve 10\N{NARROW NO-BREAK SPACE}000"),
            ("two\r\nlines\ttabbed", "two lines tabbed"),
            ("a\x00\x1b[31m\u202eb\ud800", "a\ufffd\ufffd[31m\ufffdb\ufffd"),
        ):
            self.assertEqual(formatting.shown(text), expected)
        self.assertEqual(formatting.shown_lines("a\nb\x00"), "a\nb\ufffd")

    def test_every(self) -> None:
        for minutes, text in ((0.5, "0.5 min"), (10, "10 min"), (60, "1 h"), (1440, "1 d")):
            self.assertEqual(formatting.every(minutes), text)

    def test_percent_is_rounded_down(self) -> None:
        for part, text in ((1.0, "100 %"), (0.999999, "99.99 %"), (0.5, "50 %"), (0.99, "99 %"), (0.0, "0 %")):
            self.assertEqual(formatting.percent(part), text)
