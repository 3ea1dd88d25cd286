"""``[maintenance NAME]``."""

from __future__ import annotations

from datetime import UTC, datetime

from pypinger.domain.selector import parse
from pypinger.domain.silence import Maintenance
from tests.config.samples import LoadingTestCase

TASKS = "[urls]\nprod = http://a.example/x\n[task Backup of db1]\nurl = http://b.example/\ngroup = db\n"


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


class MaintenanceTests(LoadingTestCase):
    def read(self, *options: str) -> tuple[Maintenance, ...]:
        return self.load(f"{TASKS}[maintenance night]\n" + "\n".join(options)).maintenance

    def said(self, *options: str, name: str = "night") -> list[str]:
        """The problems without line and section."""
        problems = self.errors(f"{TASKS}[maintenance {name}]\n" + "\n".join(options)).problems
        return [f"{problem.option}: {problem.words}" for problem in problems]

    def test_schedule(self) -> None:
        self.assertEqual(
            self.read(
                "match = group:db",
                "schedule = 0 3 * * SUN",
                "timezone = Europe/Berlin",
                "duration = 90",
                "reason = backups",
            ),
            (
                Maintenance(
                    name="night",
                    selector=parse("group:db"),
                    reason="backups",
                    schedule="0 3 * * SUN",
                    timezone="Europe/Berlin",
                    duration=5400,
                ),
            ),
        )

    def test_duration(self) -> None:
        """A number without a unit is minutes, the default of the zone UTC."""
        for text, seconds in (("30", 1800), ("30m", 1800), ("2h 30m", 9000), ("45s", 45)):
            (found,) = self.read("match = *", "schedule = @daily", f"duration = {text}")
            self.assertEqual((found.duration, found.timezone), (seconds, "UTC"))
        for text in ("0", "soon", "367d"):
            (words,) = self.said("match = *", "schedule = @daily", f"duration = {text}")
            self.assertTrue(words.startswith("duration: must be "))

    def test_once(self) -> None:
        """Without an offset the moments are in UTC."""
        (found,) = self.read("match = *", "from = 2026-03-01T22:00+01:00", "to = 2026-03-02 01:30")
        self.assertEqual((found.start, found.until, found.schedule), (at(2026, 3, 1, 21), at(2026, 3, 2, 1, 30), ""))
        self.assertEqual(found.end(at(2026, 3, 2)), at(2026, 3, 2, 1, 30))

    def test_several(self) -> None:
        """They are kept in the order of the file."""
        text = "".join(f"[maintenance {n}]\nmatch = *\nschedule = @hourly\nduration = 1\n" for n in ("z", "a", "m n"))
        self.assertEqual([each.name for each in self.load(TASKS + text).maintenance], ["z", "a", "m n"])

    def test_missing(self) -> None:
        self.assertEqual(
            self.said(),
            [
                "match: missing; it says which tasks are muted: a name, a URL, group:..., or * for all",
                ": needs schedule and duration, or from and to",
            ],
        )
        self.assertEqual(
            self.said("match = *", "schedule = @daily"), ["duration: missing; needs schedule and duration"]
        )
        self.assertEqual(self.said("match = *", "duration = 5"), ["schedule: missing; needs schedule and duration"])
        self.assertEqual(
            self.said("match = *", "timezone = UTC"),
            [f"{name}: missing; needs schedule and duration" for name in ("schedule", "duration")],
        )
        self.assertEqual(self.said("match = *", "to = 2026-03-02T01:30Z"), ["from: missing; needs from and to"])

    def test_both(self) -> None:
        once = ("match = *", "from = 2026-03-01T22:00", "to = 2026-03-02T22:00")
        self.assertEqual(
            self.said(*once, "schedule = @daily", "duration = 5"),
            ["schedule: cannot stand beside from and to; use a section of its own for the schedule"],
        )
        self.assertEqual(
            self.said(*once, "timezone = Europe/Berlin"),
            [
                "timezone: is that of a schedule; write the offset into from and to, as in 2026-03-01T22:00+01:00",
            ],
        )

    def test_invalid_values(self) -> None:
        self.assertEqual(
            self.said("match = *", "schedule = 61 * * * *", "timezone = Mars/Base", "duration = 5"),
            [
                'schedule: "61 * * * *": bad minute in the schedule',
                'timezone: "Mars/Base": unknown time zone; give an IANA name such as Europe/Berlin',
            ],
        )
        self.assertEqual(
            self.said("match = *", "from = tomorrow", "to = 2026-13-01T00:00"),
            [
                f"{name}: must be an ISO 8601 date and time, such as 2026-03-01T22:00+01:00, not {value}"
                for name, value in (("from", '"tomorrow"'), ("to", '"2026-13-01T00:00"'))
            ],
        )
        self.assertEqual(
            self.said("match = *", "from = 2026-03-01T22:00", "to = 2026-03-01T22:00+00:00"),
            ["to: must be later than from"],
        )

    def test_invalid_selector(self) -> None:
        daily = ("schedule = @daily", "duration = 5")
        self.assertEqual(self.said("match = nme:x", *daily), ["match: unknown prefix nme:; did you mean name:?"])
        self.assertEqual(self.said('match = "x', *daily), ['match: a quote (") is not closed'])

    def test_unknown_option(self) -> None:
        self.assertEqual(
            self.said("match = *", "schedule = @daily", "durration = 5", "duration = 5"),
            ['durration: unknown option; did you mean "duration"?'],
        )

    def test_names(self) -> None:
        """Each has a name of its own."""
        window = "match = *\nschedule = @daily\nduration = 5\n"
        self.assertEqual(
            self.problems(f"[maintenance]\n{window}[maintenance a  b]\n{window}[maintenance  a  b]\n{window}"),
            [
                "1: [maintenance]: needs a name, as in [maintenance backup night]",
                "9: [maintenance a  b]: duplicate maintenance, first given in line 5",
            ],
        )

    def test_matching_nothing(self) -> None:
        """A selector that matches no task is a warning, unless it is about what only checks tell."""
        window = "schedule = @daily\nduration = 5\n"
        for match in ("http://a.example/*", "'backup of db1'", "group:d?", "*", "server:web1", "kind:late"):
            self.assertEqual(self.warnings_of(f"{TASKS}[maintenance x]\nmatch = {match}\n{window}"), [])
        for match in ("a", "group:web", "!*"):
            self.assertEqual(
                self.warnings_of(f"{TASKS}[maintenance x]\nmatch = {match}\n{window}"),
                [f'7: [maintenance x] match: "{match}" matches no task'],
            )
