"""Tests for :mod:`pypinger.domain.dates`: every form of a date-time reads back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.dates import parse_date_time
from tests.domain.strategies import quick, thorough

MINUS = "\N{MINUS SIGN}"

_zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=_zones)


def dates(when: datetime) -> Iterator[str]:
    """Every form of a day."""
    year = f"{when.year:04}"
    iso_year, week, weekday = when.isocalendar()
    ordinal = f"{when.timetuple().tm_yday:03}"
    yield f"{year}-{when.month:02}-{when.day:02}"
    yield f"{year}{when.month:02}{when.day:02}"
    yield f"{iso_year:04}-W{week:02}-{weekday}"
    yield f"{iso_year:04}W{week:02}{weekday}"
    yield f"{iso_year:04}-w{week:02}-{weekday}"
    yield f"{year}-{ordinal}"
    yield f"{year}{ordinal}"


def times(when: datetime) -> Iterator[str]:
    """Every form of a time that holds all of it."""
    hour, minute, second = f"{when.hour:02}", f"{when.minute:02}", f"{when.second:02}"
    if not when.microsecond:
        yield f"{hour}:{minute}:{second}"
        yield f"{hour}{minute}{second}"
        if not when.second:
            yield f"{hour}:{minute}"
            yield f"{hour}{minute}"
            if not when.minute:
                yield hour
    for sign in ".,":
        yield f"{hour}:{minute}:{second}{sign}{when.microsecond:06}"
        yield f"{hour}{minute}{second}{sign}{when.microsecond:06}000"
        # Six microseconds are a ten-millionth of a minute, 36 a hundred-millionth of an hour.
        part = when.second * 10**6 + when.microsecond
        if part % 6 == 0:
            yield f"{hour}:{minute}{sign}{part // 6:07}"
        part += when.minute * 60 * 10**6
        if part % 36 == 0:
            yield f"{hour}{sign}{part // 36:08}"


def zones(when: datetime) -> Iterator[str]:
    """Every form of an offset; none if it is UTC."""
    offset = when.utcoffset()
    assert offset is not None
    minutes = abs(int(offset.total_seconds())) // 60
    sign = "-" if offset < timedelta() else "+"
    hours, rest = f"{minutes // 60:02}", f"{minutes % 60:02}"
    for mark in (sign, MINUS) if sign == "-" else (sign,):
        forms = [f"{mark}{hours}:{rest}", f"{mark}{hours}{rest}", f"{mark}{hours}:{rest}:00", f"{mark}{hours}{rest}00"]
        if rest == "00":
            forms.append(f"{mark}{hours}")
        for form in forms:
            yield from (form, f" {form}", f"{form}[Europe/Berlin]")
    if not minutes:
        yield from ("", "Z", "z", " Z", "UTC", " UTC", "GMT", " GMT", "Z[UTC]")


class RoundTripTests(SynchronousTestCase):
    def check(self, when: datetime) -> None:
        for date in dates(when):
            for time in times(when):
                for zone in zones(when):
                    text = f"{date}T{time}{zone}"
                    self.assertEqual(parse_date_time(text), when.timestamp(), text)
        for between in "t ":
            text = f"{next(dates(when))}{between}{next(times(when))}{next(zones(when))}"
            self.assertEqual(parse_date_time(text), when.timestamp(), text)

    @quick
    @given(_moments)
    @example(datetime(2018, 6, 28, 11, tzinfo=UTC))
    @example(datetime(2018, 12, 31, 11, 37, tzinfo=UTC))
    @example(datetime(2020, 12, 31, 11, 37, 48, tzinfo=UTC))
    @example(datetime(2021, 1, 1, 11, 37, 48, 600_000, tzinfo=timezone(timedelta(hours=-2))))
    def test_every_form(self, when: datetime) -> None:
        self.check(when)

    @quick
    @given(_moments)
    def test_to_the_minute(self, when: datetime) -> None:
        self.check(when.replace(second=0, microsecond=0))

    @thorough
    @given(st.integers(1, 9998), st.integers(1, 365), _zones)
    def test_end_of_day(self, year: int, day: int, zone: timezone) -> None:
        midnight = datetime(year, 1, 1, tzinfo=zone) + timedelta(days=day)
        before = midnight - timedelta(days=1)
        for date in dates(before):
            for time in ("24:00", "24:00:00", "240000.000", "24"):
                offset = next(zones(before))
                self.assertEqual(parse_date_time(f"{date}T{time}{offset}"), midnight.timestamp())

    @thorough
    @given(_moments)
    def test_white_space_around(self, when: datetime) -> None:
        self.assertEqual(parse_date_time(f"\n\t {when.isoformat()}\u00a0\r\n"), when.timestamp())


class AnyTextTests(SynchronousTestCase):
    @thorough
    @given(st.one_of(st.text(), st.text(st.sampled_from("0123456789-:+.,TWZ []"), max_size=30)))
    @example("0001-W01-1T00")
    @example("9999-W53-7T24")
    @example("9999-366T00")
    def test_is_read_or_refused(self, text: str) -> None:
        instant = parse_date_time(text)
        self.assertTrue(instant is None or -62_135_700_000 < instant < 253_402_500_000)
