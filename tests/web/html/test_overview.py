"""The overview in HTML."""

from math import nan

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind, Status
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
            "explained as late",
            "5 min ago",
            "22:23:34 UTC",
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
        self.assertIn("silenced until 22:58:34 UTCacknowledged by <b>jane", page.text)
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
        daemon = daemon_state(status=Status.ERROR, explanation=words, dead=1, dead_channels=("slack", "email night"))
        page = Page(overview([], daemon))
        for expected in (
            words,
            "slack, email night do not take alerts: the latest one was given up.",
            "1 alert could not be delivered, and will not be retried unless you type pypinger resend.",
        ):
            self.assertIn(expected, page.text)
        page = Page(overview([], daemon_state(dead_channels=("slack",))))
        self.assertIn("slack does not take alerts", page.text)

    def test_pictures(self) -> None:
        made = entry()
        page = Page(overview([made], figures={made.task.id: figures(FakeHistory(NOW), made)}))
        self.assertEqual(page.open, [])
        labels = [attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg"]
        self.assertEqual(
            [text.partition(":")[0] for text in labels], ["Gaps between the last runs", "The last 90 days"]
        )
        without = new_entry()
        page = Page(overview([without], figures={without.task.id: Figures((), (), NOW, None, Kind.NEW)}))
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
            ([late], "1 of 1 task in troubleSince 15 min ago (22:13:34 UTC).", "error"),
            ([ok, late, new_entry()], "1 of 3 tasks in trouble", "error"),
            ([ok, new_entry()], "1 of 2 tasks not checked yet", "new"),
        ):
            page = Page(overview(entries))
            self.assertIn(heading, page.text)
            self.assertEqual(page.classes("header"), [f"banner {look}"])
            icons = [attrs["href"] or "" for tag, attrs in page.elements if tag == "link" and attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_times_in_the_banner(self) -> None:
        first, latest = entry("http://h/c", Kind.LATE), entry("http://h/d", Kind.FAILED, name="Latest")
        latest = Entry(latest.task, replace(latest.state, since=NOW - 60))
        unknown = Entry(entry("http://h/e", Kind.LATE).task, replace(first.state, since=None))
        page = Page(overview([latest, first, unknown]))
        self.assertIn("Since 15 min ago (22:13:34 UTC). Latest: Latest, 1 min ago.", page.text)
        self.assertIn(f"task/{latest.task.id}", page.links())
        page = Page(overview([unknown]))
        self.assertNotIn("Since", page.text)

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
            self.assertEqual(page.classes("header"), [f"banner {look}"])
            self.assertIn(f"<title>{title}</title>".encode(), html)
            icons = [attrs["href"] or "" for tag, attrs in page.elements if attrs.get("id") == "icon"]
            self.assertTrue(icons[0].startswith(f"static/{look}.svg"), icons)

    def test_blind(self) -> None:
        daemon = daemon_state(status=Status.ERROR, explanation="blind", blind=NOW - 60)
        page = Page(overview([entry(), entry("http://h/c", Kind.LATE)], daemon))
        for words_ in (
            "Py Pinger is blind",
            "lost contact with its tasks 1 min ago (22:27:34 UTC)",
            "1 of 2 tasks in trouble",
        ):
            self.assertIn(words_, page.text)
        self.assertEqual(page.classes("header"), ["banner degraded"])
        self.assertIn("(!) Py Pinger is blind", page.text)

    def test_not_seen(self) -> None:
        made = entry()
        unseen = Entry(made.task, made.state, seen=NOW - 7200, unseen=NOW - 3600)
        page = Page(overview([unseen, entry("http://h/b")]))
        self.assertIn("1 of 2 tasks not seen", page.text)
        self.assertIn("not seen since 1 h ago", page.text)
        self.assertEqual(page.classes("header"), ["banner degraded"])
        rows = [attrs for tag, attrs in page.elements if tag == "tr" and "id" in attrs]
        self.assertEqual([(row["class"], row["data-kind"]) for row in rows], [("degraded", "unseen"), ("ok", "ok")])
        page = Page(overview([unseen, entry("http://h/b", Kind.LATE)], query="status=unseen"))
        self.assertIn("1 of 2 tasks in trouble, 1 not seen", page.text)
        self.assertIn("Not seen 1", page.text)
        self.assertEqual(page.classes("tr").count("degraded"), 1)
        self.assertEqual(page.classes("tr").count("error"), 0)

    def test_age(self) -> None:
        """How late a task is, at the time of the page."""
        late = entry(kind=Kind.LATE)
        for later, words_ in ((420, "late by 2 min"), (3600, "late by 55 min")):
            page = Page(overview([late], now=NOW + later))
            self.assertIn(f"explained as late ({words_})", page.text)
        [form] = [attrs for tag, attrs in page.elements if attrs.get("class") == "age"]
        self.assertEqual((form["data-age"], form["datetime"]), ("late by {}", "2026-11-22T22:33:34.000Z"))
        self.assertNotIn(b"data-age", overview([entry(), new_entry()]))

    def test_time_in_trouble(self) -> None:
        made = entry(kind=Kind.LATE)
        page = Page(overview([made, entry("http://h/b"), Entry(new_entry().task, replace(made.state, since=None))]))
        self.assertIn("late since 15 min ago", page.text)
        self.assertEqual(page.classes("small").count("since"), 1)

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
        self.assertEqual(chosen, ["./?q=web&status=ok&by=server"] * 2)

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
