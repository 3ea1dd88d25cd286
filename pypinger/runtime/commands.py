"""What the commands of the control socket do (contract, section 9); :mod:`~pypinger.runtime.control` carries them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Event, Seconds
from pypinger.domain.moments import due_of
from pypinger.domain.naming import no_match
from pypinger.domain.reasons import cause, reason
from pypinger.domain.selector import SelectorError, parse_typed, subject_of
from pypinger.domain.wording import age
from pypinger.ports.clock import WallClock
from pypinger.ports.sharing import InstanceRequest, InstanceRequestFailed
from pypinger.ports.showing import Entry
from pypinger.ports.storing import Store, StoreError
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.control import Call, CommandError, Handler
from pypinger.runtime.drill import send_to_all
from pypinger.runtime.monitor import Monitor
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.sharing import Answering, Participant
from pypinger.runtime.silencing import SilenceError, Silencing

#: Seconds that a check at another instance may take; the command gives up after a minute.
CHECK_LIMIT: Seconds = 50.0

#: How many tasks an ambiguous name lists.
LISTED = 5


class Commands:
    """
    The handlers of all commands.

    :param reload: reads the ini file again, and returns its problems.
    """

    def __init__(
        self,
        clocks: tuple[IReactorTime, WallClock],
        board: LiveBoard,
        monitor: Monitor,
        silencing: Silencing,
        outbox: Outbox,
        store: Store,
        reload: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self._reactor, self._now = clocks
        self._board = board
        self._monitor = monitor
        self._silencing = silencing
        self._outbox = outbox
        self._store = store
        self._reload = reload
        self._shared: Participant | None = None

    def share(self, participant: Participant) -> None:
        """Carry out commands about a task where it is watched."""
        self._shared = participant
        participant.answer("ack", self._as_owner(self._ack_here))
        participant.answer("check-now", self._as_owner(self._check_here))
        participant.answer("resend", self._resend_here)
        participant.answer("works", self._works_here)

    def handlers(self) -> dict[str, Handler]:
        """Command -> what carries it out."""
        return {
            "status": self._status,
            "silence": self._silence,
            "silences": self._silences,
            "unsilence": self._unsilence,
            "ack": self._ack,
            "check-now": self._check_now,
            "resend": self._resend,
            "drill": self._drill,
            "reload": self._reread,
            "backup": self._backup,
        }

    async def _status(self, call: Call) -> object:
        daemon = self._board.daemon()
        return {
            "self": {
                "status": daemon.status,
                "explanation": daemon.explanation,
                "started": daemon.started,
                "blind": daemon.blind,
                "undelivered": daemon.undelivered,
                "dead": daemon.dead,
                "dead_channels": daemon.dead_channels,
            },
            # None on a single machine.
            "sharing": daemon.sharing,
            "tasks": [self._task(entry) for entry in self._matching(call.text("selector", ""))],
        }

    def _task(self, entry: Entry) -> dict[str, Any]:
        task, state, now = entry.task, entry.state, self._now()
        verdict, report, incident = state.verdict, state.report, state.incident
        words = why = common = ""
        if verdict is not None:
            reported = None if report is None else report.reason
            why = reason(state.kind, verdict.explanation, reported)
            common = cause(state.kind, verdict.explanation, reported) if why else ""
            words = age(verdict.kind, report, verdict.due, now)
        return {
            "id": task.id,
            "name": entry.name,
            "url": task.label or None,
            "group": task.group,
            "status": state.status,
            "kind": state.kind,
            "explanation": None if verdict is None else verdict.explanation,
            "age": words,
            "why": why,
            "cause": common,
            "origin": task.origin,
            "since": state.since,
            "lastrun": None if report is None else report.lastrun,
            "due": due_of(task, state),
            "seen": entry.seen,
            "unseen": entry.unseen,
            "process": None if report is None else report.process,
            "server": None if report is None else report.server,
            "incident": None
            if incident is None
            else {
                "started": incident.started,
                "kind": incident.kind,
                "flapping": incident.flapping,
                "acknowledged": incident.acknowledged,
            },
            "silenced": entry.muted,
            "instance": entry.owner,
        }

    async def _silence(self, call: Call) -> object:
        seconds = call.arguments.get("seconds")
        if not isinstance(seconds, int | float):
            raise CommandError("the argument seconds is missing")
        try:
            silence, count = await self._silencing.add(
                call.text("selector"), float(seconds), call.text("reason", ""), call.by
            )
        except SilenceError as error:
            raise CommandError(str(error)) from None
        return {"id": silence.id, "until": silence.until, "tasks": count}

    async def _silences(self, call: Call) -> object:
        return self._silencing.listed()

    async def _unsilence(self, call: Call) -> object:
        try:
            await self._silencing.end(call.text("id"))
        except SilenceError as error:
            raise CommandError(str(error)) from None
        return {"id": call.text("id")}

    async def _ack(self, call: Call) -> object:
        entry = self._one(call.text("task"))
        body = {"task": entry.task.key, "by": call.by, "reason": call.text("reason", "")[:500]}
        return await self._at_owner("ack", body, self._ack_here)

    async def _ack_here(self, body: Mapping[str, Any]) -> object:
        entry = self._known(body["task"])
        if entry.state.incident is None:
            raise CommandError(f"{entry.name} has no open incident")
        if not await self._monitor.acknowledge(entry.task.key, body["by"], body["reason"]):
            raise CommandError(f"{entry.name} was not acknowledged: it is no longer watched here; try again")
        return {"task": entry.name}

    async def _check_now(self, call: Call) -> object:
        entry = self._one(call.text("task"))
        if entry.task.url is None:
            raise CommandError(f"{entry.name} is a push task: it is judged when it reports; there is nothing to fetch")
        # A check that gets no answer asks other hosts, too.
        limit = min(CHECK_LIMIT, 2 * entry.task.timeout + 10)
        return await self._at_owner("check-now", {"task": entry.task.key}, self._check_here, limit)

    async def _check_here(self, body: Mapping[str, Any]) -> object:
        entry = self._known(body["task"])
        await self._monitor.check_now(entry.task.key)
        shown = self._board.by_id(entry.task.id) or entry
        verdict = shown.state.verdict
        if verdict is None:
            return {"task": entry.name, "kind": "new", "explanation": "not judged; see pypinger status"}
        return {"task": entry.name, "kind": verdict.kind, "explanation": verdict.explanation}

    async def _resend(self, call: Call) -> object:
        try:
            count = await self._outbox.resend()
        except StoreError as error:
            raise CommandError(str(error)) from None
        if self._shared is not None:
            answers = await self._shared.ask_all(InstanceRequest("resend", {}))
            count += sum(answer["count"] for answer in answers.values())
        return {"count": count}

    async def _resend_here(self, body: Mapping[str, Any]) -> object:
        try:
            return {"count": await self._outbox.resend()}
        except StoreError as error:
            raise InstanceRequestFailed(str(error)) from None

    async def _drill(self, call: Call) -> object:
        words = f"This is a drill, asked for by {call.by or 'unknown'}; no action is needed."
        notifiers = self._outbox.notifiers
        results = await send_to_all(notifiers, daemon_alert(Event.TEST, words, self._now()), self._reactor.seconds)
        accepted = {"channels": [result.channel for result in results if result.accepted]}
        await self._works_here(accepted)
        if self._shared is not None:
            # Another instance may send through them.
            await self._shared.ask_all(InstanceRequest("works", accepted))
        return results

    async def _works_here(self, body: Mapping[str, Any]) -> object:
        for channel in body["channels"]:
            self._outbox.works(channel)
        return None

    async def _reread(self, call: Call) -> object:
        problems = list(await self._reload())
        return {"problems": problems, "words": f"the ini file was read; {self._board.daemon().explanation}"}

    async def _backup(self, call: Call) -> object:
        if call.descriptor is None:
            raise CommandError("the command passed no file to write to")
        # The socket closes its own when the command is over.
        descriptor = os.dup(call.descriptor)
        try:
            return {"bytes": await self._store.copy_to(descriptor)}
        except StoreError as error:
            raise CommandError(str(error)) from None
        finally:
            os.close(descriptor)

    async def _at_owner(self, verb: str, body: Mapping[str, Any], here: Answering, limit: Seconds = 10.0) -> object:
        """Carry out a command about a task here, or at the instance that watches it."""
        if self._shared is None or await self._shared.here(body["task"]):
            return await here(body)
        try:
            return await self._shared.ask(body["task"], InstanceRequest(verb, body, limit))
        except InstanceRequestFailed as error:
            raise CommandError(str(error)) from None

    def _as_owner(self, here: Answering) -> Answering:
        async def answer(body: Mapping[str, Any]) -> object:
            try:
                return await here(body)
            except CommandError as error:
                raise InstanceRequestFailed(str(error)) from None

        return answer

    def _known(self, key: str) -> Entry:
        entry = self._board.by_key(key)
        if entry is None or not self._monitor.watches(key):
            raise CommandError("the task is watched by another instance now; try again")
        return entry

    def _matching(self, text: str) -> list[Entry]:
        try:
            selector = parse_typed(text, (subject_of(entry.task, entry.state) for entry in self._board.entries()))
        except SelectorError as error:
            raise CommandError(str(error)) from None
        found = [entry for entry in self._board.entries() if selector.matches(subject_of(entry.task, entry.state))]
        if not found and selector.words:
            raise CommandError(no_match(text, ((entry.task, entry.state.report) for entry in self._board.entries())))
        return found

    def _one(self, text: str) -> Entry:
        """
        Find the task that a name, a URL or an id stands for.

        :raises CommandError: there is none, or more than one.
        """
        exact = [
            entry
            for entry in self._board.entries()
            if text in (entry.task.name, entry.task.url, entry.task.id, entry.task.label or None)
        ]
        found = exact or self._matching(text)
        if len(found) > 1:
            names = ", ".join(f"{entry.name} ({entry.task.id})" for entry in found[:LISTED])
            more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
            raise CommandError(f"{text} matches {len(found)} tasks: {names}{more}; give an id")
        return found[0]
