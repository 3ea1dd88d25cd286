"""
What Py Pinger must say about each check: the contract's sections 2 to 4, written anew and as simply as possible.

The truth follows the answers that the fleet gave. Where the contract leaves open what is said (a check at the edge of a
cut, a wrong clock), it takes what was said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fleet.members import BEGIN, GRACE, HOUR, MINUTE, Member
from tests.fleet.people import LAG, Quiets
from tests.fleet.reminding import Reminding
from tests.fleet.script import Script

#: Seconds after which a wrong clock is known to be right again.
SETTLING = 150.0

#: How long a check may take: the timeout, then the question of fault, and a second.
LONGEST = 46.0

#: For how long something may be overdue that must come at once: a check may be under way.
OVERDUE = 180.0

STEADY = 30 * MINUTE
NO_REPORT = ("unreachable", "invalid")
NEW = ("problem", "flapping")


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
    """
    What is known of a task.

    :ivar hold: since when it has given no report, by the wall clock.
    :ivar told: whether its open incident was told.
    :ivar owed: whether the end of an incident that was told is held back by a silence.
    :ivar overdue: what has not come yet, and since when it is overdue.
    """

    member: Member
    reminding: Reminding
    opened: list[float] = field(default_factory=list)
    hold: float | None = None
    told: bool = True
    owed: bool = False
    acknowledged: bool = False
    last: str = ""
    was_muted: bool = False
    overdue: dict[str, float] = field(default_factory=dict)
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
    :ivar quiets: when whose alerts are muted.
    :ivar mutings: how many alerts were held back; `holds`, how many troubles that were over soon enough.
    """

    def __init__(self, script: Script, error_interval: float, error_interval_max: float) -> None:
        self._script = script
        self._stories = {
            member.name: Story(member, Reminding(error_interval, error_interval_max, 0.0)) for member in script.members
        }
        self.quiets = Quiets(script.people.maintenance)
        self.mutings = self.holds = self.acknowledgements = 0
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

    def judged(
        self, task: str, at: float, said: str, answer: Answered, events: list[tuple[str, str, str]], *, is_open: bool
    ) -> None:
        """
        A check was judged.

        :param said: the kind of its verdict.
        :param events: (event, kind, id) of the alerts that it caused.
        :param is_open: whether an incident is open after it.
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
        muted = self.quiets.now(story, self._wall(at))
        held = story.since is None and kind in NO_REPORT
        if kind not in NO_REPORT:
            story.run = answer.run
        expected, optional = self._expect(story, at, kind, muted)
        if held and story.since is not None:
            self._held(story, answer.began, at)
        got = [event for event, _, _ in events]
        if got != expected and not (optional and not got):
            wrong = f"{self._where(task, at)}: {kind}, expected {expected}, got {got}"
            if set(expected) & set(NEW) and not set(got) & set(NEW):
                self.missed.append(wrong)
            elif set(got) & set(NEW) and not set(expected) & set(NEW):
                self.false.append(wrong)
            else:
                self.faults.append(wrong)
        if optional and not is_open and story.since == at:
            # None was opened, and need not be.
            story.since, story.kind, story.flapping = None, "", False
            story.opened.pop()
        if is_open is not (story.since is not None):
            self.faults.append(f"{self._where(task, at)}: {kind}, and the incident is {'' if is_open else 'not '}open")
        for event, what, id_ in events:
            self.caused.append(Caused(task, event, what, at - late_by, at, id_))
        slept = "sleeping" in (kind, story.status)
        story.status = "sleeping" if kind == "sleeping" else "ok" if kind == "ok" else "error"
        story.checked, story.last = at, kind
        self._nothing_overdue(story, at, slept=slept)

    def moved(self, task: str, at: float, events: list[tuple[str, str, str]]) -> None:
        """Time or people caused alerts: a reminder, what a silence had held back, an acknowledgement."""
        story, wall = self._stories[task], self._wall(at)
        for event, what, id_ in events:
            where = f"{self._where(task, at)}: {event}"
            # What a silence held back comes at its end, give or take what floats round off.
            if self.quiets.now(story, wall + 0.001):
                self.false.append(f"{where} while silenced")
            if event == "recovered":
                right, story.owed = story.owed, False
            elif event in NEW:
                right = story.since is not None and not story.told and (event == "flapping") is story.flapping
                story.told, story.reminding.base = True, wall
            elif event == "acknowledged":
                right, story.acknowledged = story.since is not None and story.told, True
            else:
                right = self._may_be_reminded(story, wall)
                self._reminded(story, at, wall)
            if not right:
                self.false.append(f"{where}, but it has nothing to tell")
            if event != "reminder":
                self.caused.append(Caused(task, event, what, at, at, id_))

    def open_incident(self, number: float) -> str:
        """Choose a task whose incident is open by a number from 0 to 1; empty if there is none."""
        names = sorted(name for name, story in self._stories.items() if story.since is not None)
        return names[int(number * len(names))] if names else ""

    def acknowledged(self, task: str, at: float) -> None:
        """Somebody takes care of a task's incident, if it is still open."""
        story = self._stories[task]
        if story.since is None:
            return
        if story.told and not story.acknowledged and not self.quiets.now(story, self._wall(at)):
            self.faults.append(f"{self._where(task, at)}: the acknowledgement was not told")
        self.acknowledgements += 1
        story.acknowledged = True

    def close(self) -> None:
        """The time is over."""
        end = self._script.length
        for story in self._stories.values():
            if not self._excused(story.checked or 0.0, end):
                self._gap(story, end)
            if story.since is not None:
                self._ended(story, end)

    def _wall(self, at: float) -> float:
        return at + self._script.offset(at)

    def _may_be_reminded(self, story: Story, wall: float) -> bool:
        if story.since is None or not story.told or story.acknowledged or story.status == "sleeping":
            return False
        return story.run is None or story.member.asleep_until(wall) is None

    def _reminded(self, story: Story, at: float, wall: float) -> None:
        if story.was_muted or self.quiets.lately(story, wall):
            # The end of a silence tells what is still wrong; it is no reminder of the row.
            story.was_muted, story.reminding.base = False, wall
            return
        stepped = self._stepped(story.reminding.base, wall)
        early = story.reminding.came(wall)
        if early > 0 and not stepped:
            self.faults.append(f"{self._where(story.member.name, at)}: reminder {early:.1f} s too early")

    def _stepped(self, since: float, until: float) -> bool:
        """Whether our clock was far off in between, by that clock or by a right one."""
        return any(start - 7200 <= until and since <= end + 7200 for start, end in self._large)

    def _nothing_overdue(self, story: Story, at: float, *, slept: bool) -> None:
        """What a silence had held back, and reminders, come on time."""
        wall = self._wall(at)
        muted, lately = self.quiets.now(story, wall), self.quiets.lately(story, wall)
        story.was_muted = muted or (story.was_muted and lately)
        is_open, quiet = story.since is not None, muted or lately
        due, _ = story.reminding.due()
        awake = not slept and story.member.asleep_until(wall) is None
        reminds = is_open and awake and self._may_be_reminded(story, wall) and wall > due + LAG
        for what, overdue in (
            ("a recovery that a silence held back", story.owed and not quiet),
            ("a problem that a silence held back", is_open and not story.told and not quiet and awake),
            ("a reminder", reminds and not quiet and not self._stepped(story.reminding.base, wall)),
        ):
            if not overdue or self._excused(at - LAG, at):
                story.overdue.pop(what, None)
            elif at - story.overdue.setdefault(what, at) > OVERDUE:
                story.overdue[what] = float("inf")
                self.missed.append(f"{self._where(story.member.name, at)}: {what} did not come")

    def _held(self, story: Story, began: float, at: float) -> None:
        """A check is made when a hold ends, unless one is under way."""
        before = story.checked
        if not story.member.unreachable_for or before is None or self._excused(before, at):
            return
        assert story.hold is not None
        end = story.hold + story.member.unreachable_for - self._script.offset(at)
        if before < end and began - end > 1.05:
            self.faults.append(
                f"{self._where(story.member.name, at)}: the hold's end was checked {began - end:.1f} s late"
            )

    def _where(self, task: str, at: float) -> str:
        return f"seed {self._script.seed}, {at:.1f} s ({at / 86400:.2f} days), {task}"

    def _kind(self, story: Story, at: float, answer: Answered) -> str:
        match answer.way:
            case "cut":
                # What was blamed before the cut stays so.
                blamed = story.kind if story.since is not None else story.last if story.hold is not None else ""
                return "unreachable" if blamed == "unreachable" else "cut"
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

    def _expect(self, story: Story, at: float, kind: str, muted: bool) -> tuple[list[str], bool]:
        """The events that a check of this kind must cause, and whether they may be missing."""
        member = story.member
        clock, hold = self._wall(at), story.hold
        story.hold = None
        if kind == "sleeping":
            return [], False
        if kind in NO_REPORT and story.run is not None and member.asleep_until(clock) is not None:
            return [], False
        if kind in NO_REPORT:
            story.hold = clock if hold is None else hold
        elif story.since is None and hold is not None:
            self.holds += 1
        optional = kind in ("late", "future") and any(start <= at <= end + SETTLING for start, end in self._large)
        if story.since is None:
            if kind == "ok" or (story.hold is not None and clock < story.hold + member.unreachable_for - 1e-6):
                return [], False
            wall = BEGIN + clock
            story.opened = [*(each for each in story.opened if wall - HOUR < each <= wall), wall]
            story.since, story.kind = at, kind
            self.incidents += not optional
            story.flapping, story.well, story.steady = len(story.opened) >= 4, False, 0.0
            story.told, story.acknowledged = not muted, False
            story.reminding = Reminding(story.reminding.interval, story.reminding.longest, clock)
            return self._unless_muted(muted, "flapping" if story.flapping else "problem"), optional
        if story.flapping:
            return self._flaps(story, at, kind, muted), False
        if kind == "ok":
            return self._recovers(story, at, muted), False
        if kind != story.kind:
            story.kind, story.acknowledged = kind, False
            if story.told and not muted:
                story.reminding.changed = clock
            return self._unless_muted(muted or not story.told, "changed"), optional
        return [], False

    def _unless_muted(self, muted: bool, event: str) -> list[str]:
        self.mutings += muted
        return [] if muted else [event]

    def _recovers(self, story: Story, at: float, muted: bool) -> list[str]:
        self._ended(story, at)
        story.owed = story.owed or (story.told and muted)
        return self._unless_muted(muted or not story.told, "recovered")

    def _flaps(self, story: Story, at: float, kind: str, muted: bool) -> list[str]:
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
        if well:
            return self._recovers(story, at, muted)
        story.told = story.told or not muted
        story.reminding = Reminding(
            story.reminding.interval, story.reminding.longest, self._wall(at), changed=story.reminding.changed
        )
        return self._unless_muted(muted, "problem")

    def _ended(self, story: Story, at: float) -> None:
        assert story.since is not None
        lasted = at - story.since
        self.open_time += lasted
        self.reminders += int(lasted // (8 * MINUTE))
        self.brief += story.kind in NO_REPORT and lasted <= story.member.interval + 1
        story.since = None
