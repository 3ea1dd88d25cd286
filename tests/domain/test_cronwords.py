"""Tests for :mod:`pypinger.domain.cronwords`."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain import cronwords
from pypinger.domain.cron import Cron, CronError, cron
from pypinger.domain.cronwords import LONGEST, words
from tests.domain.strategies import thorough

#: Pieces of cron expressions, some of them wrong.
_PIECES = [
    "*",
    "0",
    "5",
    "07",
    "59",
    "1-5",
    "*/7",
    "10-20/2",
    "1,2",
    "L",
    "LW",
    "5L",
    "1#2",
    "MON",
    "JAN",
    "mon-fri",
    "/",
]
fields = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map(",".join) | st.sampled_from(_PIECES)


class WordsTests(SynchronousTestCase):
    def test_cases(self) -> None:
        for expression, text in [
            ("0 3 * * 1-5", "at 03:00 Europe/Berlin, Monday to Friday"),
            ("0 3 * * MON-FRI", "at 03:00 Europe/Berlin, Monday to Friday"),
            ("30 2 * * *", "at 02:30 Europe/Berlin every day"),
            ("@daily", "at 00:00 Europe/Berlin every day"),
            ("@weekly", "at 00:00 Europe/Berlin every Sunday"),
            ("@hourly", "every hour"),
            ("@monthly", "at 00:00 Europe/Berlin on the first day of every month"),
            ("17 * * * *", "every hour at minute 17"),
            ("* * * * *", "every minute"),
            ("*/10 * * * *", "every 10 min"),
            ("*/15 * * * 1-5", "every 15 min, Monday to Friday (Europe/Berlin)"),
            ("*/7 * * * *", "every seventh minute of every hour (Europe/Berlin)"),
            ("15 3,15 * * *", "at 03:15 and 15:15 Europe/Berlin every day"),
            ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 Europe/Berlin every day"),
            ("0 8-18 * * 1-5", "every hour from 08:00 to 18:00 Europe/Berlin, Monday to Friday"),
            ("*/5 9-17 * * *", "every 5 min from 09:00 to 17:55 Europe/Berlin"),
            ("* 9-17 * * *", "every minute from 09:00 to 17:59 Europe/Berlin"),
            ("*/1 9-17 * * *", "every minute from 09:00 to 17:59 Europe/Berlin"),
            ("0 9 * * 1#1", "at 09:00 Europe/Berlin on the first Monday of the month"),
            ("0 22 * * 1,3,5", "at 22:00 Europe/Berlin on Monday, Wednesday and Friday"),
            ("0 0 L * *", "at 00:00 Europe/Berlin on the last day of every month"),
            ("0 0 29 2 *", "at 00:00 Europe/Berlin on February 29"),
            ("5 4-4 * * *", "at 04:05 Europe/Berlin every day"),
            ("1-7 1-7 * * *", "every minute from 1 through 7 past every hour from 1 through 7 (Europe/Berlin)"),
        ]:
            self.assertEqual(words(cron(expression, "Europe/Berlin")), text, expression)

    def test_the_expression_where_words_are_too_long(self) -> None:
        odd = ",".join(str(minute) for minute in range(1, 60, 2))
        self.assertEqual(words(cron(f"{odd} 1 * * *")), f"by the schedule {odd} 1 * * * (UTC)")
        most = ",".join(str(minute) for minute in range(59))
        text = words(cron(f"{most} 1 * * *"))
        self.assertTrue(text.endswith("… (UTC)"), text)
        self.assertLess(len(text), LONGEST + 40)

    def test_the_expression_where_cronsim_has_no_words(self) -> None:
        def explain(expression: str) -> str:
            raise ValueError(expression)

        self.patch(cronwords, "explain", explain)
        self.assertEqual(words(cron("13 13 13 * *")), "by the schedule 13 13 13 * * (UTC)")

    @thorough
    @given(st.tuples(fields, fields, fields, fields, fields).map(" ".join))
    def test_every_valid_expression_has_words(self, expression: str) -> None:
        try:
            schedule = Cron(expression)
        except CronError:
            assume(False)
        text = words(schedule)
        self.assertTrue(0 < len(text) < LONGEST + 40)
        self.assertTrue(text.isprintable())
