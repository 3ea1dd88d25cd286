from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from pypinger import __version__
from pypinger.domain.kinds import Kind, Status
from pypinger.ports.showing import Entry, Sharing
from pypinger.web.feeds.metrics import Metrics
from pypinger.web.serving.slicing import SLICE, make_cooperator
from pypinger.web.serving.stream import EventStream
from tests.web.fakes import NOW, SILENCED, FakeBoard, daemon_state, entry, instance, new_entry
from tests.web.test_app import AppTestCase, header

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class MetricsTestCase(SynchronousTestCase):
    def text(self, board: FakeBoard, accept: str = "") -> str:
        clock = Clock()
        metrics = Metrics(board, EventStream(board, clock), make_cooperator(clock))
        pending = Deferred.fromCoroutine(metrics.text(accept))
        clock.advance(0)
        return self.successResultOf(pending)[1].decode("utf-8")

    def series(
        self, board: FakeBoard, accept: str = "", read: Callable[[str], Iterable[Metric]] = read_plain
    ) -> Series:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in read(self.text(board, accept))
            for sample in family.samples
        }


class WholeTests(MetricsTestCase):
    def test_tasks_by_kind(self) -> None:
        board = FakeBoard(
            [entry("http://h/a"), entry("http://h/b", Kind.LATE), entry("http://h/c", Kind.LATE), new_entry()]
        )
        found = self.series(board)
        by_kind = {dict(labels)["kind"]: value for (name, labels), value in found.items() if name == "pypinger_tasks"}
        self.assertEqual(len(by_kind), len(Kind))
        self.assertEqual({kind: value for kind, value in by_kind.items() if value}, {"ok": 1, "late": 2, "new": 1})
        self.assertEqual(found["pypinger_checks_total", ()], 360)
        self.assertEqual(found["pypinger_check_errors_total", ()], 14)
        self.assertEqual(found["pypinger_build_info", (("version", __version__),)], 1)

    def test_silences_incidents_and_dead_channels(self) -> None:
        late = entry("http://h/b", Kind.LATE)
        board = FakeBoard([entry(), replace(late, muted=SILENCED)], daemon_state(dead_channels=("slack", 'e "x"')))
        for accept, read in (("", read_plain), (OPENMETRICS, read_openmetrics)):
            found = self.series(board, accept, read)
            self.assertEqual(found["pypinger_silenced_tasks", ()], 1)
            self.assertEqual(found["pypinger_incidents_open", ()], 1)
            dead = {labels: value for (name, labels), value in found.items() if name == "pypinger_channel_dead"}
            self.assertEqual(dead, {(("channel", "slack"),): 1, (("channel", 'e "x"'),): 1})
        self.assertNotIn("pypinger_channel_dead{", self.text(FakeBoard([late])))

    def test_instances(self) -> None:
        members = instance("a"), instance('b "x"', digest="two", blind=NOW)
        board = FakeBoard([entry()], daemon_state(sharing=Sharing("a", members)))
        for accept, read in (("", read_plain), (OPENMETRICS, read_openmetrics)):
            found = self.series(board, accept, read)
            self.assertEqual(found["pypinger_instances", ()], 2)
            for name, values in (("tasks", (2, 2)), ("blind", (0, 1)), ("other_ini", (0, 1))):
                for each, value in zip(members, values, strict=True):
                    self.assertEqual(found[f"pypinger_instance_{name}", (("name", each.name),)], value, name)
        self.assertNotIn("pypinger_instance", self.text(FakeBoard([entry()])))

    def test_counters_never_fall(self) -> None:
        """Not even when a reload drops tasks, or adds them again."""
        one, two = entry("http://h/a"), entry("http://h/b", Kind.LATE)
        board, clock = FakeBoard([one, two]), Clock()
        metrics = Metrics(board, EventStream(board, clock), make_cooperator(clock))
        more = Entry(one.task, replace(one.state, pings=one.state.pings + 5, errors=one.state.errors + 1))
        anew = Entry(one.task, replace(one.state, pings=1, errors=0))
        for entries, checks, errors in (
            ([one, two], 240, 7),
            ([one], 240, 7),
            ([more], 245, 8),
            ([more, two], 245, 8),
            ([anew, two], 245, 8),
        ):
            board.set(entries)
            pending = Deferred.fromCoroutine(metrics.text(""))
            clock.advance(0)
            _, text = self.successResultOf(pending)
            values = {s.name: s.value for family in read_plain(text.decode()) for s in family.samples if not s.labels}
            found = values["pypinger_checks_total"], values["pypinger_check_errors_total"]
            self.assertEqual(found, (checks, errors))

    def test_daemon(self) -> None:
        well = self.series(FakeBoard())
        ill = self.series(
            FakeBoard([], daemon_state(status=Status.ERROR, ready=False, blind=NOW, undelivered=3, dead=2))
        )
        for name, before, after in (
            ("ok", 1, 0),
            ("ready", 1, 0),
            ("blind", 0, 1),
            ("alerts_undelivered", 0, 3),
            ("alerts_dead", 0, 2),
            ("event_readers", 0, 0),
            ("last_check_timestamp_seconds", NOW - 1, NOW - 1),
        ):
            self.assertEqual((well[f"pypinger_{name}", ()], ill[f"pypinger_{name}", ()]), (before, after), name)

    def test_process(self) -> None:
        names = {name for name, _ in self.series(FakeBoard())}
        self.assertTrue({"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= names)
        self.assertFalse({name for name in names if not name.startswith(("process_", "pypinger_"))})


class TaskTests(MetricsTestCase):
    def test_series(self) -> None:
        made = entry("http://h/a?secret", Kind.LATE, name='a "b" \\ c')
        found = self.series(FakeBoard([made]))
        self.assertNotIn("secret", self.text(FakeBoard([made])))
        label = (("id", made.task.id),)
        info = (("id", made.task.id), ("name", 'a "b" \\ c'), ("url", "http://h/a?…"))
        self.assertEqual(found["pypinger_task_info", info], 1)
        for name, value in (
            ("ok", 0),
            ("last_run_timestamp_seconds", NOW - 300),
            ("due_timestamp_seconds", NOW + 300),
            ("check_duration_seconds", 0.0123),
        ):
            self.assertEqual(found[f"pypinger_task_{name}", label], value, name)

    def test_no_report_changes_the_name(self) -> None:
        """It is a key: another name would be another series."""
        made = entry()
        unnamed = Entry(replace(made.task, name="h/a", named=False), made.state)
        self.assertEqual(made.state.report and made.state.report.process, "backup")
        self.assertIn(f'{{id="{made.task.id}",name="h/a",url="http://h/a"}}', self.text(FakeBoard([unnamed])))

    def test_unknown_values_are_absent(self) -> None:
        found = self.series(FakeBoard([new_entry()]))
        self.assertEqual([name for name, _ in found if name.startswith("pypinger_task_")], ["pypinger_task_info"])

    def test_reports_add_no_series(self) -> None:
        """The series do not depend on reports."""
        one = self.series(FakeBoard([entry(process="a", server="b", reason="c")]))
        other = self.series(FakeBoard([entry(process="x", server="y", reason="z")]))
        self.assertEqual(list(one), list(other))

    def test_bounded(self) -> None:
        few, more = (len(self.series(FakeBoard([entry(f"http://h/{i}") for i in range(count)]))) for count in (1, 11))
        self.assertEqual(more - few, 50)

    def test_formats_agree(self) -> None:
        board = FakeBoard([entry(f"http://h/{kind}", kind) for kind in Kind if kind is not Kind.NEW])
        plain, other = self.series(board), self.series(board, OPENMETRICS, read_openmetrics)

        def of_ours(found: Series) -> Series:
            return {key: value for key, value in found.items() if key[0].startswith("pypinger_")}

        self.assertEqual(of_ours(plain), of_ours(other))

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
    def test_any_name(self, names: list[str]) -> None:
        board = FakeBoard([entry(f"http://h/{i}", name=name) for i, name in enumerate(names)])
        for accept, read in (("", read_plain), (OPENMETRICS, read_openmetrics)):
            found = self.series(board, accept, read)
            infos = [labels for name, labels in found if name == "pypinger_task_info"]
            self.assertEqual(len(infos), len(names))

    def test_promtool(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("there is no promtool")
        board = FakeBoard([entry(), new_entry()])
        done = subprocess.run(
            [promtool, "check", "metrics"], input=self.text(board), capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


class MetricsRouteTests(AppTestCase):
    def test_formats(self) -> None:
        plain, other = "text/plain; version=0.0.4; charset=utf-8", f"{OPENMETRICS}; charset=utf-8"
        for accept, media_type in (
            ("", plain),
            ("*/*", plain),
            ("text/html", plain),
            ("text/plain;version=nonsense", plain),
            (f"{OPENMETRICS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5", other),
            ("application/openmetrics-text; version=x\ty", other),
        ):
            response = self.ask("/metrics", Accept=accept)
            self.assertEqual(response.code, 200)
            self.assertEqual(header(response, "Content-Type"), media_type)
            self.assertEqual(header(response, "Vary"), "Accept, Accept-Encoding")
            self.assertEqual(header(response, "Cache-Control"), "no-store")
            self.assertEqual(self.text(response).endswith("# EOF\n"), media_type == other)

    def test_many_tasks_do_not_block_the_reactor(self) -> None:
        self.board.set([entry(f"http://h/{i}") for i in range(SLICE + 1)])
        pending = self.treq.get("http://localhost/metrics")
        self.assertNoResult(pending)
        self.clock.advance(0)
        self.treq.flush()
        self.assertEqual(self.successResultOf(pending).code, 200)
