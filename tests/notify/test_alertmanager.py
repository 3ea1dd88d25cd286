"""Alerts for Alertmanager (contract, section 5), in memory and with a real Alertmanager."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.alerting import daemon_alert
from pypinger.domain.clocks import IS_WRONG, WAS_WRONG
from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Instant, Seconds
from pypinger.http.messenger import Messenger
from pypinger.notify import alertmanager, channels
from pypinger.notify.alertmanager import BATCH, EXPIRY, Alertmanager
from pypinger.ports.notifying import ChannelContext, DeliveryError, HttpClient, KeptAlive, Reply, RequestFailed
from pypinger.testing.channels import NOW, Posted, RecordingClient, alert, reply
from pypinger.testing.kept import KeptAliveContract
from tests.acceptance.process import pause
from tests.notify.alertmanagers import RealAlertmanager
from tests.notify.strategies import alerts as any_alerts

URL = "http://user:passwordSECRET@am.example:9093/base/"
VALUES = {"url": URL}
BLIND = Alert(id="b", event=Event.BLIND, at=NOW, explanation="no answer from 3 hosts; since 21:55:00 UTC")
SIGHTED = Alert(id="s", event=Event.SIGHTED, at=NOW + 60, explanation="it was blind for 1 min")


class HeldClient:
    """
    Answers each request when the test says so.

    :ivar posted: the alerts of each request.
    """

    def __init__(self) -> None:
        self.posted: list[list[dict[str, Any]]] = []
        self.waiting: list[Deferred[Reply]] = []

    async def post(self, url: str, *, headers: object, data: bytes = b"", **_: object) -> Reply:
        self.posted.append(json.loads(data))
        answer: Deferred[Reply] = Deferred()
        self.waiting.append(answer)
        return await answer

    def answer(self, code: int = 200) -> None:
        self.waiting.pop(0).callback(reply(code))


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.client = RecordingClient()
        self.notifier = self.make(self.client)

    def make(self, client: Any) -> Alertmanager:
        made = channels()["alertmanager"].notifier(
            VALUES, ChannelContext("alertmanager", client, lambda: self.now, None)
        )
        assert isinstance(made, Alertmanager)
        return made

    def send(self, *alerts: Alert, code: int = 200) -> list[dict[str, Any]]:
        """Send alerts one by one; returns those of the last request."""
        for one in alerts:
            self.client.answers.append(reply(code))
            self.successResultOf(Deferred.fromCoroutine(self.notifier.send([one])))
        return self.last()

    def keep(self, *alerts: Alert) -> list[list[dict[str, Any]]]:
        """Keep alerts; returns those of each request."""
        before = len(self.client.posted)
        self.client.answers += [reply(200)] * 20
        self.successResultOf(Deferred.fromCoroutine(self.notifier.keep(alerts)))
        self.client.answers.clear()
        return [json.loads(posted.body) for posted in self.client.posted[before:]]

    def last(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.client.posted[-1].body)
        return found


class AlertmanagerTests(KeptAliveContract, SynchronousTestCase):
    section = "alertmanager"
    values = VALUES
    secrets = ("passwordSECRET",)

    def accepted(self) -> Reply:
        return reply(200)

    def refused(self, words: str) -> Reply:
        return reply(400, json.dumps(words))

    def identity(self, posted: Posted) -> object:
        return json.loads(posted.body)[0]["annotations"]["alert_id"]

    def test_words(self) -> None:
        self.assertEqual(self.failure(reply(400, '"start time missing"')).words, "start time missing")
        self.assertEqual(self.failure(reply(422, '{"code": 602, "message": "wrong"}')).words, "wrong")
        self.assertEqual(self.failure(reply(400, "7")).words, "HTTP 400 Bad Request")

    def test_a_login_page_is_no_success(self) -> None:
        error = self.failure(reply(200, b"<html>log in"))
        self.assertFalse(error.permanent)


class AlertTests(Base):
    maxDiff = None

    def test_problem(self) -> None:
        one = alert(group="billing", reason="disk full", runbook="https://wiki.example/r?x=1", note="old server")
        (sent,) = self.send(one)
        posted = self.client.posted[0]
        self.assertEqual(posted.url, "http://user:passwordSECRET@am.example:9093/base/api/v2/alerts")
        self.assertEqual(posted.headers, {"Content-Type": "application/json"})
        self.assertEqual(
            sent,
            {
                "labels": {"alertname": "TaskProblem", "task": "nightly backup", "id": "0123456789ab"},
                "annotations": {
                    "summary": "PROBLEM: nightly backup is late",
                    "explanation": "last ran 21:55:00 UTC, 34 min ago; runs every 10 min",
                    "kind": "late",
                    "process": "backup",
                    "server": "db1",
                    "group": "billing",
                    "url": "https://db1.example/task",
                    "reason": "disk full",
                    "note": "old server",
                    "runbook": "https://wiki.example/r?x=1",
                    "alert_id": "0123456789ab-1700000000-1",
                },
                "startsAt": "2023-11-14T22:13:15.000Z",
                "endsAt": "2023-11-14T22:18:20.000Z",
                "generatorURL": "https://pinger.example/task/0123456789ab",
            },
        )

    def test_one_alert_a_task(self) -> None:
        """Labels stay the same from the problem to the end; the end is that of the incident."""
        events = [Event.PROBLEM, Event.CHANGED, Event.FLAPPING, Event.ACKNOWLEDGED, Event.REMINDER, Event.RECOVERED]
        sent = [self.send(alert(event, at=NOW + number))[0] for number, event in enumerate(events)]
        self.assertEqual(len({str(each["labels"]) for each in sent}), 1)
        self.assertEqual({each["startsAt"] for each in sent}, {"2023-11-14T22:13:15.000Z"})
        self.assertEqual(
            [each["endsAt"] for each in sent], ["2023-11-14T22:18:20.000Z"] * 5 + ["2023-11-14T22:13:25.000Z"]
        )

    def test_task_without_a_name(self) -> None:
        """Its label is the URL without query, also when the task is removed after a restart."""
        for name in ("db1.example/task?…", "https://db1.example/task?…"):
            (sent,) = self.send(alert(name="backup on db1", key=name))
            self.assertEqual(sent["labels"]["task"], "https://db1.example/task")

    def test_never_ends_before_its_start(self) -> None:
        """Alertmanager would refuse it; the wall clock may have been set back."""
        self.now = NOW - 86_400
        for event in (Event.PROBLEM, Event.RECOVERED):
            (sent,) = self.send(alert(event, at=NOW - 86_400, started=NOW))
            self.assertEqual(sent["startsAt"], sent["endsAt"])

    def test_py_pinger_itself(self) -> None:
        for one, name, open_ in (
            (BLIND, "PyPingerBlind", True),
            (SIGHTED, "PyPingerBlind", False),
            (replace(BLIND, explanation=f"{IS_WRONG}: 5 min"), "PyPingerClockWrong", True),
            (replace(SIGHTED, explanation=f"{WAS_WRONG} for 5 min"), "PyPingerClockWrong", False),
            (alert(Event.STOPPED), "PyPingerStopped", True),
            (alert(Event.STARTED), "PyPingerStopped", False),
            (alert(Event.TEST), "PyPingerTest", True),
        ):
            (sent,) = self.send(one)
            self.assertEqual(sent["labels"], {"alertname": name})
            # Without a start Alertmanager keeps the one that it knows.
            self.assertEqual("startsAt" in sent, open_)
            self.assertEqual(sent["endsAt"] == "2023-11-14T22:18:20.000Z", open_)

    def test_instances_have_labels_of_their_own(self) -> None:
        """The end of one's blindness must not end that of another."""
        (sent,) = self.send(daemon_alert(Event.BLIND, "no answer", NOW, "a"))
        self.assertEqual(sent["labels"], {"alertname": "PyPingerBlind", "instance": "a"})

    @settings(max_examples=60, deadline=None)
    @given(any_alerts)
    def test_any_text(self, one: Alert) -> None:
        self.setUp()
        (sent,) = self.send(one)
        self.assertEqual(sent["annotations"]["alert_id"], one.id)
        for text in (*sent["labels"].values(), *sent["annotations"].values()):
            self.assertTrue(text and "\n" not in text and len(text) <= 8_192)


class KeepTests(Base):
    def test_moves_the_end(self) -> None:
        one = alert()
        self.send(one)
        for minute in range(1, 7):
            self.now = NOW + 60 * minute
            ((kept,),) = self.keep(one)
            self.assertEqual(kept["endsAt"], f"2023-11-14T22:{18 + minute}:20.000Z")
            self.assertEqual(kept["labels"], self.last()[0]["labels"])

    def test_nothing_to_keep(self) -> None:
        self.assertEqual(self.keep(), [])

    def test_thousands(self) -> None:
        """They are sent in lists."""
        lists = self.keep(*(alert(task=f"{number:012x}", id=str(number)) for number in range(BATCH * 2 + 7)))
        self.assertEqual([len(each) for each in lists], [BATCH, BATCH, 7])
        ids = [each["labels"]["id"] for one in lists for each in one]
        self.assertEqual(ids, [f"{number:012x}" for number in range(BATCH * 2 + 7)])

    def test_a_list_that_is_refused_holds_up_no_other(self) -> None:
        """Their alerts would expire."""
        self.send(alert(Event.RECOVERED, task="ended"))
        many = [alert(task=f"{number:012x}", id=str(number)) for number in range(BATCH * 3)]
        self.client.answers = [reply(200), reply(413), reply(200), reply(200)]
        before = len(self.client.posted)
        error = self.failureResultOf(Deferred.fromCoroutine(self.notifier.keep(many)), DeliveryError).value
        self.assertIn("413", error.words)
        self.assertEqual([len(json.loads(each.body)) for each in self.client.posted[before:]], [BATCH] * 3 + [1])
        # One that is down is asked again in the next round.
        self.client.answers = [reply(503)]
        self.failureResultOf(Deferred.fromCoroutine(self.notifier.keep(many)), DeliveryError)
        self.assertEqual(len(self.client.posted), before + 5)

    def test_an_end_is_repeated(self) -> None:
        """Alertmanager ignores an end that lies ahead of its own clock: see Note [Expiry]."""
        self.send(alert(), alert(Event.RECOVERED, at=NOW), SIGHTED)
        ended = self.last()
        self.now = NOW + 60
        ((task, blind),) = self.keep()
        self.assertEqual(task["endsAt"], "2023-11-14T22:13:20.000Z")
        self.assertEqual([blind], ended)
        self.now = NOW + EXPIRY + 1
        self.assertEqual(self.keep(), [])

    def test_a_new_incident_ends_the_repetition(self) -> None:
        self.send(alert(), alert(Event.RECOVERED))
        again = alert(started=NOW + 30, at=NOW + 30)
        # It may be kept before its problem is delivered.
        ((kept,),) = self.keep(again)
        self.assertEqual(kept["startsAt"], "2023-11-14T22:13:50.000Z")
        self.send(alert(Event.RECOVERED, started=NOW + 30), again)
        self.assertEqual(len(self.keep(again)), 1)

    def test_what_has_ended_is_not_kept(self) -> None:
        """The alerts to keep were collected before the end was sent."""
        stale, other = alert(), alert(task="other")
        self.send(alert(Event.RECOVERED), SIGHTED)
        kept, ended = self.keep(stale, replace(BLIND, started=NOW), other)
        self.assertEqual([each["labels"]["id"] for each in kept], ["other"])
        self.assertEqual([each["labels"].get("id") for each in ended], ["0123456789ab", None])
        # Blindness that began since is kept.
        ((blind,), _) = self.keep(replace(BLIND, started=NOW + 90, at=NOW + 100))
        self.assertEqual(blind["labels"], {"alertname": "PyPingerBlind"})

    def test_one_request_at_a_time(self) -> None:
        """The end of an incident does not overtake a list that holds the alert as open, and is not overtaken by one."""
        client = HeldClient()
        self.notifier = self.make(client)
        many = [alert(task=f"{number:012x}") for number in range(BATCH + 1)]
        keeping = Deferred.fromCoroutine(self.notifier.keep(many))
        sending = Deferred.fromCoroutine(self.notifier.send([replace(many[-1], event=Event.RECOVERED)]))
        self.assertEqual([len(each) for each in client.posted], [BATCH])
        client.answer()
        # The alert waits for one list, not for all.
        self.assertEqual([len(each) for each in client.posted], [BATCH, 1])
        client.answer()
        self.successResultOf(sending)
        # The second list held nothing else; then the end is repeated.
        self.assertEqual([len(each) for each in client.posted], [BATCH, 1, 1])
        self.assertEqual(client.posted[2], client.posted[1])
        client.answer()
        self.successResultOf(keeping)

    def test_a_cancelled_request_frees_the_way(self) -> None:
        client = HeldClient()
        self.notifier = self.make(client)
        keeping = Deferred.fromCoroutine(self.notifier.keep([alert()]))
        waiting = Deferred.fromCoroutine(self.notifier.keep([alert()]))
        sending = Deferred.fromCoroutine(self.notifier.send([alert()]))
        keeping.addErrback(lambda _: None)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        keeping.cancel()
        client.waiting.pop(0)
        client.answer()
        self.successResultOf(sending)

    def test_failures(self) -> None:
        for answer in (reply(500), reply(400, '"bad"'), RequestFailed("no answer")):
            self.client.answers = [answer]
            keeping = Deferred.fromCoroutine(self.notifier.keep([alert()]))
            self.failureResultOf(keeping, DeliveryError)
            self.send(alert())


class ChannelTests(SynchronousTestCase):
    def test_options(self) -> None:
        channel = channels()["alertmanager"]
        self.assertEqual(channel.essential(VALUES), ("url",))
        self.assertEqual(
            channel.events, {Event.PROBLEM, Event.CHANGED, Event.RECOVERED, Event.FLAPPING, Event.ACKNOWLEDGED}
        )

    def test_urls(self) -> None:
        for url, words in (
            ("http://am:9093", None),
            ("http://am:9093/base/", None),
            ("http://am:9093/?x=1", "must be the URL of Alertmanager's root, without a query"),
            ("http://am:9093/api/v2/alerts", "must be the URL of Alertmanager's root, without /api/v2/alerts"),
        ):
            self.assertEqual(channels()["alertmanager"].check({"url": url}).get("url"), words)


class RealTests(TestCase):
    """Debian's Alertmanager takes the alerts, tells people, and forgets what is not kept."""

    timeout = 120

    async def start(self) -> RealAlertmanager:
        self.server = RealAlertmanager(self)
        await self.server.is_ready()
        self.client = Messenger(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))
        return self.server

    def notifier(self, ahead: Seconds = 0.0) -> Alertmanager:
        """One whose clock is ahead of the server's."""
        client: HttpClient = self.client
        context = ChannelContext("alertmanager", client, lambda: reactor.seconds() + ahead, None)
        made = channels()["alertmanager"].notifier({"url": f"{self.server.url}/"}, context)
        assert isinstance(made, KeptAlive)
        assert isinstance(made, Alertmanager)
        return made

    def problem(self, **changes: object) -> Alert:
        now = reactor.seconds()
        return alert(**{"at": now, "started": now - 90, **changes})

    def past(self) -> Instant:
        """Return an instant that has certainly passed at the server: it ignores an end half a millisecond ahead."""
        return reactor.seconds() - 1

    async def test_firing_changed_and_resolved(self) -> None:
        server = await self.start()
        notifier = self.notifier()
        one = self.problem(id="1", runbook="https://wiki.example/r")
        self.assertEqual(await notifier.send([one]), "HTTP 200 OK")
        await server.tells(("firing", "TaskProblem", one.task))
        found = (await server.alerts())[one.task]
        self.assertEqual(found["labels"], {"alertname": "TaskProblem", "task": "nightly backup", "id": one.task})
        self.assertEqual(found["status"]["state"], "active")
        self.assertEqual(found["generatorURL"], one.page)
        self.assertEqual(found["annotations"]["kind"], "late")
        started = found["startsAt"]

        await notifier.send([replace(one, id="2", event=Event.CHANGED, kind=Kind.FAILED, explanation="disk full")])
        found = (await server.alerts())[one.task]
        self.assertEqual((found["annotations"]["kind"], found["annotations"]["alert_id"]), ("failed", "2"))
        self.assertEqual(found["startsAt"], started)

        await notifier.send([replace(one, id="3", event=Event.RECOVERED, kind=Kind.OK, at=self.past())])
        await server.tells(("firing", "TaskProblem", one.task), ("resolved", "TaskProblem", one.task))
        self.assertEqual(await server.alerts(), {})

    async def test_blindness(self) -> None:
        server = await self.start()
        notifier = self.notifier()
        now = reactor.seconds() - 90
        await notifier.send([replace(BLIND, at=now)])
        await notifier.send([replace(BLIND, at=now, explanation=f"{IS_WRONG}: 5 min")])
        await notifier.keep([replace(BLIND, at=now, started=now)])
        self.assertEqual(set(await server.alerts()), {"PyPingerBlind", "PyPingerClockWrong"})
        await notifier.send([replace(SIGHTED, at=self.past())])
        self.assertEqual(set(await server.alerts()), {"PyPingerClockWrong"})
        await notifier.keep([])
        self.assertEqual(set(await server.alerts()), {"PyPingerClockWrong"})
        await notifier.send([replace(SIGHTED, at=self.past(), explanation=f"{WAS_WRONG} for 5 min")])
        self.assertEqual(await server.alerts(), {})

    async def test_kept_alive(self) -> None:
        """
        An alert stands for six minutes and more if it is sent again, and no longer than its expiry otherwise.

        Here a second is as long as a minute: the expiry is 5 s.
        """
        server = await self.start()
        self.patch(alertmanager, "EXPIRY", EXPIRY / 60)
        notifier = self.notifier()
        kept, dropped = self.problem(), self.problem(task="dropped")
        await notifier.send([kept])
        await notifier.send([dropped])
        for _ in range(7):
            await pause(1)
            await notifier.keep([kept])
        self.assertEqual(set(await server.alerts()), {kept.task})
        # Alertmanager sends the two at the same time, in any order.
        both = [("firing", "TaskProblem", kept.task), ("firing", "TaskProblem", "dropped")]
        both.sort(key=server.notifications.told.index)
        await server.tells(*both, ("resolved", "TaskProblem", "dropped"))
        # A Py Pinger that has died.
        await server.tells(*both, ("resolved", "TaskProblem", "dropped"), ("resolved", "TaskProblem", kept.task))
        self.assertEqual(await server.alerts(), {})

    async def test_our_clock_is_ahead(self) -> None:
        """The end is then in Alertmanager's future; repeated, it counts as soon as that has passed."""
        server = await self.start()
        notifier = self.notifier(ahead=2.0)
        one = self.problem(at=reactor.seconds() + 2.0)
        await notifier.send([one])
        await notifier.send([replace(one, event=Event.RECOVERED, at=reactor.seconds() + 2.0)])
        self.assertEqual(set(await server.alerts()), {one.task})
        await pause(2.5)
        self.assertEqual(set(await server.alerts()), {one.task})
        await notifier.keep([])
        await server.tells(("firing", "TaskProblem", one.task), ("resolved", "TaskProblem", one.task))
        self.assertEqual(await server.alerts(), {})

    async def test_refusal(self) -> None:
        """Alertmanager's words about an alert that it does not take."""
        await self.start()
        notifier = self.notifier()
        self.patch(alertmanager, "_labels", lambda _: {"alert-name": "x"})
        error = await self.assertFailure(Deferred.fromCoroutine(notifier.send([self.problem()])), DeliveryError)
        self.assertTrue(error.permanent)
        self.assertIn("invalid", error.words)

    async def test_hostile_texts(self) -> None:
        """Whatever reports hold, Alertmanager takes the alert."""
        server = await self.start()
        notifier = self.notifier()
        texts: Sequence[str] = ("\ud800 lone", "a\x00b\x1b[31m", "😀" * 4000, "\u202etxt", "{{ .Labels }}", "<b>&amp;")
        for number, text in enumerate(texts):
            await notifier.send(
                [
                    self.problem(
                        task=f"t{number}", name=text, explanation=text, server=text, page=f"https://p.example/{text}"
                    )
                ]
            )
        self.assertEqual(set(await server.alerts()), {f"t{number}" for number in range(len(texts))})
