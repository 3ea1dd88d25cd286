"""
What Py Pinger must say about each check: the contract's sections 2 to 4, written anew and as simply as possible.

The truth follows the answers that the fleet gave. Where the contract leaves open what is said (a check at the edge of a
cut, a wrong clock), it takes what was said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fleet.script import BEGIN, GRACE, HOUR, MINUTE, Member, Script

#: Seconds after which a wrong clock is known to be right again.
SETTLING = 150.0

#: How long a check may take: the timeout, then the question of fault, and a second.
LONGEST = 46.0

STEADY = 30 * MINUTE
NO_REPORT = ("unreachable", "invalid")


@dataclass(frozen=True)
class Answered:
    """How a request that began at one moment ended at another, in this way, with the run of this number."""

    began: float
    at: float
    way: str
    run: int


@dataclass(frozen=True)
class Caused:
    """
    An alert that had to be.

    :ivar onset: when what it tells of was there to be seen.
    :ivar seen: when a check saw it.
    """

    task: str
    event: str
    kind: str
    onset: float
    seen: float
    id: str


@dataclass
class Story:
    """What is known of a task."""

    member: Member
    opened: list[float] = field(default_factory=list)
    since: float | None = None
    kind: str = ""
    flapping: bool = False
    well: bool = False
    steady: float = 0.0
    status: str = ""
    checked: float | None = None
    run: int | None = None
    longest: float = 0.0


class Truth:
    """
    Watches every judged check.

    :ivar faults: what was wrong, a line each.
    :ivar caused: the alerts that had to be, and were.
    :ivar open_time: seconds of all incidents together; `reminders` what reminders of a fixed 8 minutes would come to.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._stories = {member.name: Story(member) for member in script.members}
        self._large = [(start, end) for start, end, step in script.steps if abs(step) > MINUTE]
        self.faults: list[str] = []
        self.false: list[str] = []
        self.missed: list[str] = []
        self.caused: list[Caused] = []
        self.checks = 0
        self.incidents = 0
        self.brief = 0
        self.reminders = 0
        self.open_time = 0.0

    def judged(self, task: str, at: float, said: str, answer: Answered, events: list[tuple[str, str, str]]) -> None:
        """
        A check was judged.

        :param said: the kind of its verdict.
        :param events: (event, kind, id) of the alerts that it caused.
        """
        self.checks += 1
        story = self._stories[task]
        kind = self._kind(story, at, answer)
        if kind != said:
            self.faults.append(f"{self._where(task, at)}: expected verdict {kind}, got {said}")
        if kind == "cut":
            self.false.append(f"{self._where(task, at)}: blamed for our own cut: {said}")
            kind = said
        late_by = self._late(story, answer.began, at, kind)
        if kind not in NO_REPORT:
            story.run = answer.run
        expected, optional = self._expect(story, at, kind)
        got = [event for event, _, _ in events]
        if got != expected and not (optional and not got):
            wrong = f"{self._where(task, at)}: {kind}, expected {expected}, got {got}"
            new = {"problem", "flapping"}
            if set(expected) & new and not set(got) & new:
                self.missed.append(wrong)
            elif set(got) & new and not set(expected) & new:
                self.false.append(wrong)
            else:
                self.faults.append(wrong)
        if optional and not got and {"problem", "flapping"} & set(expected):
            # Nothing was said, and need not be.
            story.since, story.kind, story.flapping = None, "", False
            story.opened.pop()
        for event, what, id_ in events:
            self.caused.append(Caused(task, event, what, at - late_by, at, id_))
        story.status = "sleeping" if kind == "sleeping" else "ok" if kind == "ok" else "error"
        story.checked = at

    def close(self) -> None:
        """The time is over."""
        end = self._script.length
        for story in self._stories.values():
            if not self._excused(story.checked or 0.0, end):
                self._gap(story, end)
            if story.since is not None:
                self._ended(story, end)

    def _where(self, task: str, at: float) -> str:
        return f"seed {self._script.seed}, {at:.1f} s ({at / 86400:.2f} days), {task}"

    def _kind(self, story: Story, at: float, answer: Answered) -> str:
        match answer.way:
            case "cut":
                # What was blamed before the cut stays so.
                return "unreachable" if story.since is not None and story.kind == "unreachable" else "cut"
            case "refused" | "silent" | "503":
                return "unreachable"
            case "invalid":
                return "invalid"
        member, clock = story.member, at + self._script.offset(at)
        lastrun, well = member.runs[answer.run]
        if member.asleep_until(clock) is not None:
            return "sleeping"
        if not well:
            return "failed"
        if lastrun > clock + member.frequency + GRACE:
            return "future"
        return "late" if clock > member.due(lastrun) + GRACE else "ok"

    def _late(self, story: Story, began: float, at: float, kind: str) -> float:
        """How long the check began after the task had become late, where it had to be made then: none was under way."""
        member, before = story.member, story.checked
        excused = self._excused(before or 0.0, at)
        if not excused:
            self._gap(story, at)
        if kind != "late" or story.since is not None or before is None or excused or story.run is None:
            return 0.0
        late = member.due(member.runs[story.run][0]) + GRACE - self._script.offset(at)
        if not before < late < began or story.status != "ok":
            return 0.0
        return began - late

    def _gap(self, story: Story, at: float) -> None:
        gap = at - (story.checked or 0.0)
        if gap > story.member.interval + LONGEST:
            self.faults.append(f"{self._where(story.member.name, at)}: no check for {gap:.1f} s")

    def _excused(self, since: float, until: float) -> bool:
        script = self._script
        times = [(start, end + 120) for start, end in script.cuts]
        times += [(start - 30, end + 60) for start, end, _ in script.restarts]
        times += [(edge, edge + 2) for start, end, _ in script.steps for edge in (start, end)]
        return any(start <= until and since <= end for start, end in times)

    def _expect(self, story: Story, at: float, kind: str) -> tuple[list[str], bool]:
        """The events that a check of this kind must cause, and whether they may be missing."""
        member = story.member
        clock = at + self._script.offset(at)
        if kind == "sleeping":
            return [], False
        if kind in NO_REPORT and story.run is not None and member.asleep_until(clock) is not None:
            return [], False
        optional = kind in ("late", "future") and any(start <= at <= end + SETTLING for start, end in self._large)
        if story.since is None:
            if kind == "ok":
                return [], False
            wall = BEGIN + clock
            story.opened = [*(each for each in story.opened if wall - HOUR < each <= wall), wall]
            story.since, story.kind = at, kind
            self.incidents += not optional
            story.flapping, story.well, story.steady = len(story.opened) >= 4, False, 0.0
            return ["flapping" if story.flapping else "problem"], optional
        if story.flapping:
            return self._flaps(story, at, kind), False
        if kind == "ok":
            self._ended(story, at)
            return ["recovered"], False
        if kind != story.kind:
            story.kind = kind
            return ["changed"], optional
        return [], False

    def _flaps(self, story: Story, at: float, kind: str) -> list[str]:
        well = kind == "ok"
        if not well:
            story.kind = kind
        if well is not story.well:
            story.steady = 0.0
        elif story.status != "sleeping" and story.checked is not None:
            story.steady += max(0.0, at + self._script.offset(at) - story.checked - self._script.offset(story.checked))
        story.well = well
        if story.steady < STEADY - 1e-6:
            return []
        story.flapping, story.opened = False, []
        if not well:
            return ["problem"]
        self._ended(story, at)
        return ["recovered"]

    def _ended(self, story: Story, at: float) -> None:
        assert story.since is not None
        lasted = at - story.since
        self.open_time += lasted
        self.reminders += int(lasted // (8 * MINUTE))
        self.brief += story.kind in NO_REPORT and lasted <= story.member.interval + 1
        story.since = None
