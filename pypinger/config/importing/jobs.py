"""
Makes tasks of the jobs of a crontab, and the lines that report to them.

A job that pings Healthchecks keeps its key, and its line gets another base URL. Any other job is run by
``pypinger run``, which pushes its report or writes it to a file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from pypinger.config.importing import commands
from pypinger.config.importing.commands import JobCommand
from pypinger.config.importing.crontab import REBOOT, Crontab, Job
from pypinger.config.importing.sections import ImportedTask, SectionNames, line, value
from pypinger.domain import cron
from pypinger.domain.cron import CronError

#: The grace of tasks that only say when they end: Healthchecks' default.
GRACE = "1h"

_HEX = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# A host or a last part of the path with "ping" in its name; the UUID, or a ping key of 22 characters with the slug.
_PING = re.compile(
    rf"""https?://(?:[^\s'"/]*ping[^\s'"/]*|[^\s'"]+?/ping)/(?:({_HEX})|[\w-]{{22}}/([\w-]+))"""
    r"""(?=/(?:start|fail|log|[0-9$])|[?\s'";&|)]|\Z)"""
)
_PUSH = re.compile(r"https?://[^\s'\"]+/(?:push|ping)/([A-Za-z0-9_.~-]{16,})(?=[/?#]|\Z)")
# With its options, up to the command that it runs.
_RUNITOR = re.compile(rf"((?:^|(?<=[\s/]))runitor)(?=\s)((?:.*?\s)-?-uuid[= ]\s*({_HEX})(?:(?!\s--\s).)*)", re.DOTALL)
_API_URL = re.compile(r"(-?-api-url[= ]\s*)(\S+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")

#: The variable that ``pypinger run`` takes its push URL from.
_PUSH_URL = "PYPINGER_PUSH_URL"


class Target(msgspec.Struct, frozen=True):
    """
    How jobs report.

    :ivar run: ``pypinger run`` or what does the same, with its path: cron's PATH is short.
    :ivar base: where Py Pinger takes pushes, without a final slash.
    :ivar zone: the time zone that cron runs in.
    :ivar directory: where report files are written; empty to push reports.
    :ivar url: under which URL that directory is served, without a final slash.
    :ivar written: the file that the new crontab is written to; without it the new lines are shown.
    """

    run: tuple[str, ...]
    base: str
    zone: str
    directory: str = ""
    url: str = ""
    written: str = ""


class ImportedJobs(msgspec.Struct, frozen=True):
    """
    The jobs of a crontab as tasks.

    :ivar head: what holds for all of them.
    :ivar foot: what was not carried over, by line.
    :ivar changed: number of a line -> the line that takes its place.
    """

    tasks: Sequence[ImportedTask]
    head: Sequence[str]
    foot: Sequence[str]
    changed: Mapping[int, str]


def read(crontab: Crontab, target: Target, new_key: Callable[[], str]) -> ImportedJobs:
    """
    Return the tasks of a crontab.

    :param new_key: returns a new key.
    """
    reader = _Reader(target, new_key)
    for job in crontab.jobs:
        reader.add(job)
    settings = reader.rewrite_settings(crontab)
    problems = [(number, f"{words}: {line(crontab.lines[number - 1])}") for number, words in crontab.problems]
    left = sorted([*problems, *reader.left])
    foot = [f"Line {number}, which jobs use: {line(reader.changed[number])}" for number in settings]
    foot += ["Not carried over:", *(f"  line {number}: {words}" for number, words in left)] if left else []
    head = list(_head(crontab, target, len(reader.tasks)))
    return ImportedJobs(reader.tasks, head, foot, reader.changed)


class _Reader:
    """Collects the tasks of jobs."""

    def __init__(self, target: Target, new_key: Callable[[], str]) -> None:
        self.tasks: list[ImportedTask] = []
        self.left: list[tuple[int, str]] = []
        self.changed: dict[int, str] = {}
        self._target = target
        self._new_key = new_key
        self._names = SectionNames()
        self._keys: dict[str, str] = {}
        self._slugs: dict[str, str] = {}
        program = target.run[0].rpartition("/")[2]
        self._program = " ".join((program, *target.run[1:]))

    def add(self, job: Job) -> None:
        """Take in a job."""
        zone = job.settings.get("CRON_TZ", "").strip() or self._target.zone
        command = commands.parse(job.command)
        shown = commands.name(command) or f"job of line {job.number}"
        if job.when.lower() == REBOOT:
            self.left.append((job.number, f"{shown} runs when the machine starts, so it is never due"))
            return
        try:
            cron.zone(zone)
        except CronError as error:
            self.left.append((job.number, f"{shown}: CRON_TZ is {line(zone)}: {error}"))
            return
        timing = {"schedule": job.when, "timezone": zone}
        if job.comment and (note := value(job.comment)):
            timing["note"] = note
        expanded = _expanded(job.command, job.settings)
        if _pings(expanded):
            shown = commands.name(commands.parse(expanded), without=_PING)
            self._add_pings(job, expanded, shown, timing)
        elif (run := _run_options(commands.words(command), job.settings)) is not None:
            self._add_run(job, run, shown, timing)
        else:
            self._wrap(job, command, shown, timing)

    def rewrite_settings(self, crontab: Crontab) -> Sequence[int]:
        """Change the ping URLs in environment settings; return the numbers of their lines."""
        before = set(self.changed)
        jobs = {job.number for job in crontab.jobs} | {number for number, _ in crontab.problems}
        for number, raw in enumerate(crontab.lines, 1):
            if number not in jobs and not raw.lstrip().startswith("#") and (new := self._rewritten(raw)) != raw:
                self.changed[number] = new
        return sorted(self.changed.keys() - before)

    def _add_pings(self, job: Job, expanded: str, shown: str, timing: Mapping[str, str]) -> None:
        """Add a task for each check that a job pings."""
        new = job.before + self._rewritten(job.command)
        changed = {setting: self._rewritten(text) for setting, text in job.settings.items()}
        if self._pings_elsewhere(_expanded(self._rewritten(job.command), changed)):
            comments = [
                f"Line {job.number} still pings Healthchecks: its URL is made of variables. Change them to ping"
            ]
            comments.append(f"  {self._target.base}/ping/UUID")
        else:
            comments = self._shown(f"Line {job.number} pings Py Pinger as it did Healthchecks", new)
        for uuid, slug in _pings(expanded):
            key = self._key_of(uuid, slug)
            name = slug or shown or f"check {uuid[:8]}"
            if key in self._keys:
                self.left.append((job.number, f"{name} pings {self._keys[key]}, the task of another line, too"))
                continue
            name = self._names.unique(name)
            self._keys[key] = name
            options = {"push_key": key, **timing}
            words = []
            if not _RUNITOR.search(expanded):
                options["grace"] = GRACE
                words.append("A ping at the end of a run is as late as the run is long; grace must be longer.")
            self.tasks.append(ImportedTask(name, options, [*comments, *words]))
        if new != job.before + job.command:
            self.changed[job.number] = new

    def _add_run(self, job: Job, run: Mapping[str, str], shown: str, timing: Mapping[str, str]) -> None:
        """Add the task of a job that runs ``pypinger run`` already."""
        name = run.get("--name") or run.get("--", shown)
        push = _PUSH.search(run.get("--push", ""))
        if push is not None and push[1] not in self._keys:
            name = self._names.unique(name)
            self._keys[push[1]] = name
            options = {"push_key": value(push[1]), **timing}
            self.tasks.append(ImportedTask(name, options, [f"Line {job.number} reports already; it stays as it is."]))
        elif push is not None:
            self.left.append((job.number, f"{name} reports to {self._keys[push[1]]}, the task of another line"))
        elif (file := run.get("--report", "")) and self._target.url:
            url = f"{self._target.url}/{file.rpartition('/')[2]}"
            options = {"url": url, **timing}
            comments = [f"Line {job.number} reports already; it stays as it is."]
            self.tasks.append(ImportedTask(self._names.unique(name), options, comments))
        else:
            words = f"its report is {line(file)}; add the URL of that file to [urls]" if file else "it says no push URL"
            self.left.append((job.number, f"{name} runs pypinger run already: {words}"))

    def _wrap(self, job: Job, command: JobCommand, shown: str, timing: Mapping[str, str]) -> None:
        """Add a task for a job, which ``pypinger run`` shall run."""
        name = self._names.unique(shown)
        run = [*self._target.run, "--schedule", job.when]
        if "CRON_TZ" in job.settings:
            run += ["--timezone", timing["timezone"]]
        run += ["--name", name]
        options: dict[str, str] = {}
        if self._target.directory:
            file = f"{_UNFIT.sub('-', name).strip('-.') or 'job'}-{job.number}.json"
            run += ["--report", f"{self._target.directory}/{file}"]
            options["url"] = f"{self._target.url}/{file}"
        else:
            key = self._new_key()
            self._keys[key] = name
            run += ["--push", f"{self._target.base}/push/{key}"]
            options["push_key"] = key
        # To cron a percent sign is the end of the command.
        start = " ".join(map(shlex.quote, run)).replace("%", "\\%")
        new = job.before + commands.wrapped(command, start, job.settings.get("SHELL") or "/bin/sh")
        self.changed[job.number] = new
        comments = self._shown(f"Line {job.number} uses {self._program}", new)
        if command.piped:
            comments.append("It is a pipe, so a failure of any but its last program is not seen.")
        if command.silenced:
            comments.append("It throws its errors away, so the report cannot say why it failed.")
        self.tasks.append(ImportedTask(name, {**options, **timing}, comments))

    def _shown(self, words: str, new: str) -> list[str]:
        """Return a comment on a line that changes."""
        return [f"{words}."] if self._target.written else [f"{words}:", f"  {new}"]

    def _rewritten(self, text: str) -> str:
        """Return text with the ping URLs of Py Pinger instead of those of Healthchecks."""
        base = f"{self._target.base}/ping"

        def runitor(match: re.Match[str]) -> str:
            if _API_URL.search(match[2]):
                return match[1] + _API_URL.sub(lambda found: found[1] + base, match[2])
            return f"{match[1]} -api-url {base}{match[2]}"

        text = _RUNITOR.sub(runitor, text)
        return _PING.sub(lambda match: f"{base}/{self._key_of(match[1] or '', match[2] or '')}", text)

    def _pings_elsewhere(self, command: str) -> bool:
        """Whether a command pings another monitor than Py Pinger."""
        base = f"{self._target.base}/ping"
        pings = all(match[0].startswith(f"{base}/") for match in _PING.finditer(command))
        return not pings or any(base not in match[2] for match in _RUNITOR.finditer(command))

    def _key_of(self, uuid: str, slug: str) -> str:
        """Return the key of a check: its UUID, else a new one for each slug."""
        if uuid:
            return str(UUID(uuid))
        if slug not in self._slugs:
            self._slugs[slug] = self._new_key()
        return self._slugs[slug]


def _expanded(text: str, settings: Mapping[str, str]) -> str:
    """Return a command with the values of the variables that a crontab sets."""
    return _VARIABLE.sub(lambda match: settings.get(match[1] or match[2], match[0]), text)


def _pings(text: str) -> Sequence[tuple[str, str]]:
    """Return the checks of Healthchecks that a command pings: the UUID, or the slug."""
    found = [(match[1] or "", match[2] or "") for match in _PING.finditer(text)]
    found += [(match[3], "") for match in _RUNITOR.finditer(text)]
    return list({(uuid.lower(), slug): (uuid, slug) for uuid, slug in found}.values())


def _run_options(words: Sequence[str], settings: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the options of ``pypinger run`` in a command; None where it is not run."""
    for number, word in enumerate(words):
        program = word.rpartition("/")[2]
        if program == "pypinger-report.py" or (program == "pypinger" and words[number + 1 : number + 2] == ["run"]):
            break
    else:
        return None
    options: dict[str, str] = {"--push": settings.get(_PUSH_URL, "")}
    for before in words[:number]:
        if before.startswith(f"{_PUSH_URL}="):
            options["--push"] = before.partition("=")[2]
    rest = list(words[number + 1 :])
    for word, following in zip(rest, [*rest[1:], ""], strict=True):
        if word == "--":
            options[word] = following.rpartition("/")[2]
            break
        option, sign, given = word.partition("=")
        if option.startswith("--"):
            options[option] = given if sign else following
    return options


def _head(crontab: Crontab, target: Target, tasks: int) -> Iterator[str]:
    yield f"{tasks} {'task' if tasks == 1 else 'tasks'} of a crontab (docs/migrating.md)."
    if target.written:
        new = line(target.written)
        how = "put it in the place of the old one" if crontab.system else f"install it by: crontab {new}"
        yield f"The crontab with its new lines is in {new}; {how}"
    yield f"Times are of {target.zone}, the zone of this machine unless --timezone names another."
    if not target.directory:
        yield f"Jobs push to {target.base}: the endpoint of [push], else that of [web]. --base names another."
    yield "A run that hangs is noticed when the next is due; set max_runtime where that is too late."
    mailed = crontab.settings.get("MAILTO")
    if mailed:
        yield f"cron mails what jobs print to {line(mailed)}; alerts of Py Pinger go to channels, [email] for example."
    if "CRON_TZ" in crontab.settings:
        yield "cronie runs jobs at times of CRON_TZ, and so do these tasks; Debian's cron ignores it."
    elif "TZ" in crontab.settings:
        yield "TZ is for the commands; cron does not run jobs at its times."
