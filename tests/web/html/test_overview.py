"""The overview in HTML."""

import re
from collections.abc import Callable
from math import nan

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.selector import parse, parse_typed, subject_of
from pypinger.domain.url import origin as url_origin
from pypinger.ports.showing import Entry
from pypinger.web.html.figures import Figures
from tests.web.browser import Page, figures, overview, task_page
from tests.web.fakes import NOW, SILENCED, acknowledged, daemon_state, entry, new_entry, with_incident
from tests.web.history import FakeHistory

replace = msgspec.structs.replace


class OverviewTests(SynchronousTestCase):
    def test_trouble_first(self) -> None:
        kinds = (Kind.OK, Kind.SLEEPING, Kind.LATE, Kind.FAILED)
        entries = [entry(f"http://h/{kind}", kind) for kind in kinds]
        page = Page(overview([new_entry(), *entries]))
        self.assertEqual(page.open, [])
        self.assertEqual(page.comments, [])
        order = [entries[2], entries[3], entries[1], entries[0], new_entry()]
        rows = [attrs for tag, attrs in page.elements if tag == "tr" and "id" in attrs]
        self.assertEqual([attrs["id"] for attrs in rows], [f"t-{each.task.id}" for each in order])
        self.assertEqual([attrs["class"] for attrs in rows], ["error", "error", "sleeping", "ok", "new"])
        self.assertIn("2 of 5 tasks in trouble", page.text)
        for count in ("In trouble 2", "Sleeping 1", "On time 1", "Not checked yet 1", "All 5"):
            self.assertIn(count, page.text)

    def test_row(self) -> None:
        page = Page(overview([entry(kind=Kind.LATE, name="Invoices")]))
        for words_ in (
            "Invoices",
            "backup · web-1",
            "late",
            "5 min ago",
            "in 5 min",
        ):
            self.assertIn(words_, page.text)
        times = [attrs["datetime"] for tag, attrs in page.elements if tag == "time"]
        self.assertIn("2026-11-22T22:23:34.000Z", times)

    def test_marks(self) -> None:
        late = entry("http://h/late", Kind.LATE)
        flapping = with_incident(entry("http://h/flapping", Kind.FAILED), flapping=True)
        silenced = replace(acknowledged(late, by="<b>jane"), muted=SILENCED)
        page = Page(overview([silenced, flapping, entry()]))
        self.assertEqual(page.open, [])
        found = [name for name in page.classes("li") if name.startswith("flag")]
        self.assertEqual(found, ["flag silenced", "flag acknowledged", "flag flapping"])
        self.assertIn("silenced by jane until 22:58 UTCacknowledged by <b>jane", page.text)
        # The banner counts them, with links to them.
        self.assertIn("1 silenced1 acknowledged1 flapping", page.text)
        self.assertIn("./?q=silenced", page.links())
        self.assertNotIn("flags", Page(overview([late, entry()])).classes("ul"))
        self.assertNotIn("sums", Page(overview([late, entry()])).classes("ul"))

    def test_a_task_without_a_configured_name(self) -> None:
        """It is named by its reports, with its URL beside the name: several tasks may have it."""
        made = entry("http://h/a?key=S3CRET", Kind.LATE)
        made = replace(made, task=replace(made.task, name="h/a?…", named=False))
        page = Page(overview([made]))
        self.assertIn("backup on web-1h/a?…", page.text)
        self.assertNotIn("backup · web-1", page.text)
        self.assertIn("backup on web-1", Page(overview([made], query="q=backup+on+web-1")).text)
        without_process = replace(made.state, report=replace(made.state.report, process=None))
        self.assertIn("h/a?…web-1", Page(overview([replace(made, state=without_process)])).text)
        latest = replace(made, state=replace(made.state, since=NOW - 1))
        self.assertIn("Latest: backup on web-1", Page(overview([entry("http://h/b", Kind.LATE), latest])).text)
        self.assertIn("backup on web-1late", Page(task_page(made)).text)

    def test_grouping_by_group(self) -> None:
        """It is offered where a task has a group."""
        self.assertNotIn("./?by=group", Page(overview([entry()])).links())
        made = entry()
        made = replace(made, task=replace(made.task, group="billing"))
        self.assertIn("./?by=group", Page(overview([made])).links())
        page = Page(overview([made, entry("http://h/b")], query="by=group"))
        self.assertIn("billing 1", page.text)
        self.assertIn("No group 1", page.text)

    def test_dead_channels(self) -> None:
        words = "slack did not accept the latest alert: invalid_auth"
        daemon = daemon_state(
            status=Status.ERROR,
            explanation=words,
            troubles=(words,),
            dead=1,
            dead_channels=("slack", "email night"),
            ini="/etc/pinger.ini",
        )
        page = Page(overview([], daemon))
        self.assertEqual(page.text.count("slack"), 1)
        self.assertIn("send every channel a test alert: pypinger notify-test /etc/pinger.ini", page.text)
        for expected in (
            words,
            "Alerts do not arrive: slack did not accept",
            # The troubles say it of the other one.
            "email night does not accept alerts: the latest one was given up.",
            "1 alert could not be delivered, and will not be retried unless you type pypinger resend.",
        ):
            self.assertIn(expected, page.text)
        page = Page(overview([], daemon_state(dead_channels=("slack", "email night"))))
        self.assertIn("slack, email night do not accept alerts", page.text)

    def test_pictures(self) -> None:
        made = entry()
        page = Page(overview([made], figures={made.task.id: figures(FakeHistory(NOW), made)}))
        self.assertEqual(page.open, [])
        labels = [attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg"]
        self.assertEqual(
            [text.partition(":")[0] for text in labels], ["Gaps between the last runs", "The last 90 days"]
        )
        without = new_entry()
        page = Page(overview([without], figures={without.task.id: Figures((), (), None, NOW, None, Kind.NEW)}))
        self.assertNotIn("svg", [tag for tag, _ in page.elements])

    def test_unknown_values(self) -> None:
        page = Page(overview([new_entry(), entry("http://h/n", lastrun=nan)]))
        self.assertEqual(page.classes("span").count("unknown"), 7)

    def test_banner(self) -> None:
        ok, other, late = entry(), entry("http://h/b"), entry("http://h/c", Kind.LATE)
        asleep = entry("http://h/s", Kind.SLEEPING)
        for entries, heading, look in (
            ([], "No tasks", "new"),
            ([ok], "The task is on time", "ok"),
            ([asleep], "The task is asleep", "ok"),
            ([ok, other], "All tasks on time", "ok"),
            ([ok, asleep], "All tasks on time1 of them asleep.", "ok"),
            ([late], "1 of 1 task in troubleFor 15 min (since 22:13:34 UTC).", "error"),
            ([ok, late, new_entry()], "1 of 3 tasks in trouble", "error"),
            ([ok, new_entry()], "1 of 2 tasks not checked yet", "new"),
        ):
            page = Page(overview(entries))
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner overview {look}"])
            icons = [attrs["href"] or "" for tag, attrs in page.elements if tag == "link" and attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_times_in_the_banner(self) -> None:
        first, latest = entry("http://h/c", Kind.LATE), entry("http://h/d", Kind.FAILED, name="Latest")
        latest = Entry(latest.task, replace(latest.state, since=NOW - 60))
        unknown = Entry(entry("http://h/e", Kind.LATE).task, replace(first.state, since=None))
        page = Page(overview([latest, first, unknown]))
        self.assertIn("For 15 min (since 22:13:34 UTC). Latest: Latest, 1 min ago.", page.text)
        self.assertIn(f"task/{latest.task.id}", page.links())
        page = Page(overview([unknown]))
        self.assertNotIn("since", page.text)

    def test_title(self) -> None:
        late = entry("http://h/c", Kind.LATE)
        self.assertIn(b"<title>(1) Py Pinger</title>", overview([late, entry()]))
        self.assertIn("<title>All tasks on time · Py Pinger</title>".encode(), overview([entry(), entry("http://h/2")]))

    def test_notices(self) -> None:
        self.assertNotIn("notice", Page(overview([])).classes("section"))
        daemon = daemon_state(status=Status.ERROR, explanation="<the disk>", dead=2, undelivered=1)
        page = Page(overview([], daemon))
        self.assertIn("notice", page.classes("section"))
        for words_ in ("<the disk>", "2 alerts could not be", "1 alert pending"):
            self.assertIn(words_, page.text)

    def test_degraded(self) -> None:
        """Nothing is green while Py Pinger is degraded."""
        daemon = daemon_state(status=Status.ERROR, explanation="checks are stuck")
        ok, late = entry(), entry("http://h/c", Kind.LATE)
        for entries, heading, look, title in (
            (
                [ok, entry("http://h/2")],
                "All tasks on time; Py Pinger is degraded",
                "degraded",
                "(!) Py Pinger is degraded",
            ),
            ([ok, late], "1 of 2 tasks in trouble; Py Pinger is degraded", "error", "(1) Py Pinger is degraded"),
        ):
            html = overview(entries, daemon)
            page = Page(html)
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner overview {look}"])
            self.assertIn(f"<title>{title}</title>".encode(), html)
            icons = [attrs["href"] or "" for tag, attrs in page.elements if attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_blind(self) -> None:
        troubles = ("blind: no host answers", "the store cannot be written: full")
        daemon = daemon_state(status=Status.ERROR, explanation="; ".join(troubles), troubles=troubles, blind=NOW - 60)
        page = Page(overview([entry(), entry("http://h/c", Kind.LATE)], daemon))
        for words_ in (
            "Py Pinger is blind",
            "for 1 min (since 22:27:34 UTC): no host answers.",
            "1 of 2 tasks in trouble",
            "Tasks that do not answer cause no alerts until its network and name server work again.",
            "The store cannot be written: full",
        ):
            self.assertIn(words_, page.text)
        # Once, in the banner.
        self.assertEqual(page.text.count("no host answers"), 1)
        self.assertEqual(page.classes("header"), ["banner overview degraded"])
        self.assertIn("(!) Py Pinger is blind", page.text)
        rows = [attrs["class"] for tag, attrs in page.elements if tag == "tr" and "id" in attrs]
        self.assertEqual(rows, ["degraded", "degraded"])
        self.assertIn("blind was late", page.text)
        self.assertIn("blind was on time", page.text)

    def test_not_seen(self) -> None:
        made = entry()
        unseen = Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)
        page = Page(overview([unseen, entry("http://h/b")]))
        self.assertIn("1 of 2 tasks not seen", page.text)
        self.assertIn("not seen since 21:28", page.text)
        self.assertIn("for 1 h; was OK", page.text)
        self.assertEqual(page.classes("header"), ["banner overview degraded"])
        rows = [attrs for tag, attrs in page.elements if tag == "tr" and "id" in attrs]
        self.assertEqual([(row["class"], row["data-kind"]) for row in rows], [("degraded", "unseen"), ("ok", "ok")])
        page = Page(overview([unseen, entry("http://h/b", Kind.LATE)], query="status=unseen"))
        self.assertIn("1 of 2 tasks in trouble, 1 not seen", page.text)
        self.assertIn("Not seen 1", page.text)
        self.assertIn("was OK", page.text)
        self.assertEqual(page.classes("tr").count("degraded"), 1)
        self.assertEqual(page.classes("tr").count("error"), 0)

    def test_age(self) -> None:
        """How late a task is, at the time of the page."""
        late = entry(kind=Kind.LATE)
        for later, words_ in ((420, "late by 2 min"), (3600, "late by 55 min")):
            page = Page(overview([late], now=NOW + later))
            self.assertIn(words_, page.text)
            self.assertNotIn("explained as late", page.text)
        [form] = [attrs for tag, attrs in page.elements if attrs.get("data-age", "").startswith("by")]
        self.assertEqual((form["data-age"], form["datetime"]), ("by {}", "2026-11-22T22:33:34.000Z"))
        self.assertNotIn(b"data-age", overview([entry(), new_entry()]))

    def test_time_in_trouble(self) -> None:
        made = entry(kind=Kind.LATE)
        page = Page(overview([made, entry("http://h/b"), Entry(new_entry().task, replace(made.state, since=None))]))
        self.assertIn("late for 15 min", page.text)
        self.assertEqual(page.text.count("late for"), 1)

    def test_reason_alone(self) -> None:
        """What the columns say is not said again."""
        late = entry("http://h/late", Kind.LATE)
        assert late.state.verdict is not None
        words_ = "last ran 22:00:00 UTC, runs every 10 min, was due 22:10:00 UTC; grace 1 min"
        verdict = replace(late.state.verdict, explanation=words_, due=NOW - 1800)
        late = Entry(late.task, replace(late.state, verdict=verdict, since=NOW - 60))
        text = Page(overview([late])).text
        self.assertIn("late by 30 min", text)
        self.assertIn("runs every 10 min (noticed 1 min ago)", text)
        self.assertNotIn("was due", text)
        soon = Entry(late.task, replace(late.state, since=NOW - 1739))
        self.assertNotIn("noticed", Page(overview([soon])).text)
        self.assertIn("disk full", Page(overview([entry(kind=Kind.FAILED)])).text)

    def test_running(self) -> None:
        made = entry(started=NOW - 60, max_runtime=30.0)
        self.assertIn("running since 22:27 UTC", Page(overview([made])).text)
        self.assertIn("running since 22:27 UTC: may take 30 min", Page(task_page(made)).text)
        self.assertIn("running since", Page(overview([made], query="q=running")).text)
        self.assertNotIn("running", Page(overview([entry(started=NOW - 400)])).text)
        unknown = entry(kind=Kind.UNREACHABLE, started=NOW - 60)
        self.assertNotIn("running", Page(overview([unknown])).text)

    def test_becomes_late(self) -> None:
        """Said once the task is due; the script needs no other page for that."""
        for later, words_ in ((299, ""), (300, "becomes late in 1 min"), (332, "becomes late in 28 s")):
            page = Page(overview([entry()], now=NOW + later))
            self.assertEqual("becomes late" in page.text, bool(words_))
            self.assertIn(words_, page.text)
        [soon] = [attrs for tag, attrs in page.elements if attrs.get("class") == "soon"]
        self.assertEqual(soon["data-until"], "becomes late in {}")
        self.assertEqual(soon["data-from"], "2026-11-22T22:33:34.000Z")
        self.assertEqual(soon["datetime"], "2026-11-22T22:34:34.000Z")

    def test_sleep(self) -> None:
        self.assertIn("sleeping", Page(overview([entry(kind=Kind.SLEEPING)])).text)
        self.assertIn("wakes in 2 h", Page(overview([entry(kind=Kind.SLEEPING)])).text)

    def test_share_of_a_covered_period_alone(self) -> None:
        made, history = entry(), FakeHistory(NOW)
        for begins, words_ in ((NOW - 90 * 86_400, " %"), (NOW - 7200, "since 20:28"), (NOW - 9e6, " %")):
            history.begins = begins
            page = Page(overview([made], figures={made.task.id: figures(history, made)}))
            [found] = [attrs for tag, attrs in page.elements if attrs.get("class") == "share"]
            self.assertEqual("title" in found, words_ != " %")
            self.assertIn(words_, page.text)
            # The script shows it in local time.
            marked = [attrs for tag, attrs in page.elements if attrs.get("datetime") == "2026-11-22T20:28:34.000Z"]
            self.assertEqual([each["class"] for each in marked], ["fixed"] if ":" in words_ else [])

    def silences_all_of_a_storm(self, unreachable: Callable[[str, float], Entry]) -> None:
        """The command names one server in each way that the URLs do."""
        paths = [
            f"https://{server}/{n}" for n in range(5) for server in ("web.example", "WEB.example:443", "web.example")
        ]
        urls = {*paths, "https://web.example:0443/a", "https://web.example?key=S3CRET"}
        page = Page(overview([unreachable(url, NOW - 900) for url in urls]))
        [command] = re.findall(r"pypinger silence '(\S+)' 2h REASON", page.text)
        self.assertNotIn("S3CRET", command)
        subjects = [subject_of(unreachable(url, NOW).task, unreachable(url, NOW).state) for url in sorted(urls)]
        self.assertTrue(all(parse_typed(command, subjects).matches(each) for each in subjects))
        for other in ("https://web.example.org/a", "https://web.example:8443/a", "http://web.example/a"):
            self.assertFalse(parse(command).matches(subject_of(entry(other).task, entry(other).state)))

    def test_storm(self) -> None:
        def unreachable(url: str, since: float) -> Entry:
            made = entry(url, Kind.UNREACHABLE, name=f"Job {url[20:].partition('?')[0]}")
            made = replace(made, task=replace(made.task, origin=url_origin(url)))
            assert made.state.verdict is not None
            verdict = replace(made.state.verdict, explanation="HTTP 503 and no valid report: the body is empty")
            return Entry(made.task, replace(made.state, verdict=verdict, since=since))

        many = [unreachable(f"https://web.example/{n}?key=S3CRET", NOW - 900 + n) for n in range(30)]
        alone, newer = entry("http://h/old", Kind.LATE), entry("http://h/new", Kind.FAILED)
        alone = Entry(alone.task, replace(alone.state, since=NOW - 9000))
        newer = Entry(newer.task, replace(newer.state, since=NOW - 10))
        entries = [alone, *many, newer, entry()]
        html = overview(entries)
        page = Page(html)
        self.assertEqual(page.open, [])
        self.assertIn("30 × HTTP 503 on https://web.example", page.text)
        self.assertIn("for 15 min · latest 14 min ago", page.text)
        self.assertIn("pypinger silence 'url:https://web.example/*' 2h REASON", page.text)
        self.assertNotIn("S3CRET", page.text)
        self.silences_all_of_a_storm(unreachable)
        # Between what is newer and what is older, and its first tasks within it.
        order = [attrs["id"] for tag, attrs in page.elements if (attrs.get("id") or "").startswith("t-")]
        self.assertEqual(order[0], f"t-{newer.task.id}")
        self.assertEqual(order[1:21], [f"t-{each.task.id}" for each in many[::-1][:20]])
        self.assertEqual(order[21:], [f"t-{alone.task.id}", f"t-{entry().task.id}"])
        self.assertEqual(page.classes("details"), ["group storm error"])
        # All of them are a link away.
        [link] = {each for each in page.links() if "storm" in each}
        text = Page(overview(entries, query=link.removeprefix("./?"))).text
        self.assertIn("Job 0", text)
        self.assertNotIn("http://h/old", text)
        self.assertNotIn("30 × ", text)
        over = Page(overview([alone], query=link.removeprefix("./?")))
        self.assertIn("This storm is over. Show all tasks", over.text)
        for query in ("q=job", "sort=name", "by=server"):
            self.assertNotIn("30 × ", Page(overview(entries, query=query)).text)
        self.assertNotIn("9 × ", Page(overview(many[:9])).text)
        wall = Page(overview(entries, query="view=wall"))
        self.assertIn("30 × HTTP 503 on https://web.example", wall.text)
        self.assertEqual(wall.classes("details"), ["group storm error"])
        self.assertEqual(sum("tile " in name for name in wall.classes("li")), 23)
        marked = [replace(many[0], muted=SILENCED), acknowledged(many[1]), *many[2:]]
        self.assertIn("latest 14 min ago · 1 silenced · 1 acknowledged", Page(overview(marked)).text)

    def test_wall(self) -> None:
        late = entry("http://h/late", Kind.LATE, name="Invoices")
        page = Page(overview([entry(), replace(late, muted=SILENCED)], query="view=wall"))
        self.assertEqual(page.open, [])
        self.assertEqual([each for each in page.classes("li") if "tile" in each], ["tile error", "tile ok"])
        self.assertIn("Invoiceslate for 15 min", page.text)
        self.assertIn("silenced", page.text)
        self.assertEqual(page.classes("main"), ["wall"])
        self.assertNotIn("table", [tag for tag, _ in page.elements])
        self.assertIn("./", [link for link in page.links() if link == "./"])

    def test_groups_that_are_fine_are_folded(self) -> None:
        entries = [entry("http://h/1", server="a"), entry("http://h/2", Kind.LATE, server="b"), new_entry()]
        page = Page(overview(entries, query="by=server"))
        self.assertEqual(page.classes("details"), ["group ok"])
        self.assertIn("a 1 all fine", page.text)
        # Who searches or filters wants to see tasks.
        for query in ("by=server&q=h", "by=server&status=ok"):
            self.assertEqual(Page(overview(entries, query=query)).classes("details"), [])

    def test_headings_sort(self) -> None:
        def sorted_by(page: Page) -> list[tuple[str | None, str | None]]:
            return [(attrs.get("aria-sort"), None) for tag, attrs in page.elements if attrs.get("aria-sort")]

        page = Page(overview([entry()]))
        self.assertEqual(sorted_by(page), [("descending", None)])
        for link in ("./?sort=oldest", "./?sort=name", "./?sort=lastrun", "./?sort=due"):
            self.assertIn(link, page.links())
        page = Page(overview([entry()], query="sort=name"))
        self.assertEqual(sorted_by(page), [("ascending", None)])
        self.assertIn("./", page.links())

    def test_headings_of_groups_sort(self) -> None:
        """In the first table that is always shown; those below it have no visible headings, so no links in them."""
        wrong = [entry(f"http://h/{name}", Kind.LATE, server=name) for name in "ab"]
        entries = [*wrong, entry("http://h/c", server="c")]
        page = Page(overview(entries, query="by=server"))
        self.assertEqual(page.classes("details"), ["group ok"])
        self.assertEqual(page.links().count("./?by=server&sort=name"), 2)
        self.assertEqual(page.text.count("Last run"), 3)
        # Where all is folded, each group shows its own when it is unfolded.
        page = Page(overview([entry(f"http://h/{name}", server=name) for name in "ab"], query="by=server"))
        self.assertEqual(page.links().count("./?by=server&sort=due"), 3)
        # The order holds within the groups.
        names = [entry(f"http://h/{name}", Kind.LATE, name=name, server="a") for name in ("Zoo", "Ape")]
        html = overview(names, query="by=server&sort=name").decode()
        self.assertLess(html.index(">Ape<"), html.index(">Zoo<"))

    def test_no_tasks(self) -> None:
        """The ini file, three lines to paste, and the command."""
        page = Page(overview([], daemon_state(ini="/etc/my pinger.ini")))
        self.assertIn("Add these lines to /etc/my pinger.ini:[task Nightly backup] url = https://", page.text)
        self.assertIn("pypinger validate '/etc/my pinger.ini' && pypinger reload", page.text)
        self.assertIn("Add these lines to pinger.ini", Page(overview([])).text)

    def test_advice(self) -> None:
        troubles = (
            "the latest reload failed: line 3: unknown option",
            "the store cannot be written: No space left on device",
            "the clock of this machine is wrong: it is 12 min behind the clocks of most hosts",
            "something else",
        )
        text = Page(overview([], daemon_state(status=Status.ERROR, troubles=troubles, ini="/p.ini"))).text
        for words_ in (
            "The latest reload failed: line 3: unknown option. The settings from before are still in use.",
            "reload: pypinger validate /p.ini && pypinger reload",
            "The store cannot be written: No space left on device. Checks and alerts continue",
            "The clock of this machine is wrong: it is 12 min behind the clocks of most hosts. Tasks that are late",
            "Py Pinger itself is in trouble: something else.",
        ):
            self.assertIn(words_, text)
        words_ = Page(overview([], daemon_state(status=Status.ERROR, explanation=troubles[0]))).text
        self.assertIn("line 3: unknown option. The settings", words_)
        self.assertNotIn("validate  &&", words_)

    def test_first_start(self) -> None:
        page = Page(overview([entry(), new_entry()], daemon_state(started=NOW - 5)))
        self.assertIn("1 of 2 tasks not checked yet1 of 2 checked since the start 5 s ago.", page.text)

    def test_link_to_the_feed(self) -> None:
        made = entry()
        for html, href in ((overview([made]), "feed.atom"), (task_page(made), f"../task/{made.task.id}/feed.atom")):
            found = [attrs["href"] for tag, attrs in Page(html).elements if attrs.get("rel") == "alternate"]
            self.assertEqual(found, [href])

    def test_without_script(self) -> None:
        html = overview([entry()]).decode()
        self.assertIn('<noscript><meta http-equiv="refresh" content="30"', html)
        forms = [attrs for tag, attrs in Page(html.encode()).elements if tag == "form"]
        self.assertEqual([(form["action"], form["method"]) for form in forms], [("./", "get")])

    def test_form_keeps_the_view(self) -> None:
        page = Page(overview([entry()], query="q=web&status=ok&by=server"))
        fields = {attrs["name"]: attrs["value"] for tag, attrs in page.elements if tag == "input"}
        self.assertEqual(fields, {"q": "web", "status": "ok", "by": "server"})
        chosen = [attrs["href"] for tag, attrs in page.elements if tag == "a" and attrs.get("aria-current")]
        self.assertEqual(chosen, ["./?q=web&status=ok&by=server"] * 3)

    def test_groups(self) -> None:
        entries = [
            entry("http://h/1", server="b"),
            entry("http://h/2", Kind.LATE, server="c"),
            entry("http://h/3", server="c"),
            entry("http://h/4", server=None),
        ]
        page = Page(overview(entries, query="by=server"))
        self.assertEqual(page.open, [])
        self.assertIn("c 2 1 in trouble", page.text)
        self.assertIn("No server 1", page.text)

    def test_nothing_found(self) -> None:
        page = Page(overview([entry()], query="q=nowhere&by=server"))
        self.assertIn("No task matches. Show all tasks", page.text)
        self.assertIn("./?by=server", page.links())
        self.assertNotIn("No task matches", Page(overview([])).text)

    def test_pages(self) -> None:
        entries = [entry(f"http://h/{number}") for number in range(250)]
        first, second, last = (Page(overview(entries, query=f"page={number}")) for number in (1, 2, 9))
        self.assertIn("1–100 of 250 tasks", first.text)
        self.assertIn("101–200 of 250 tasks", second.text)
        self.assertIn("201–250 of 250 tasks", last.text)
        self.assertEqual([link for link in second.links() if "page" in link], ["./?page=3"])
        self.assertEqual([link for link in last.links() if "page" in link], ["./?page=2"])

    def test_incomplete(self) -> None:
        self.assertNotIn(b"data-incomplete", overview([entry()]))
        self.assertIn(b"data-incomplete", overview([entry()], complete=False))
