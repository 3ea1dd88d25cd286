"""The ``[push]`` section and the tasks that push."""

from __future__ import annotations

from pypinger.config.endpoint import with_backlog
from pypinger.config.settings import PushSettings
from pypinger.domain.model import Task
from pypinger.domain.url import task_id
from tests.config.samples import LoadingTestCase

KEY = "0e9e5a8a-1111-4222-8333-000000000001"
KEPT = f"push_key = {KEY}\nfrequency = 1h\n"


class SectionTests(LoadingTestCase):
    def test_default(self) -> None:
        self.assertEqual(self.load("").push, PushSettings(""))
        self.assertEqual(self.load("[push]\nendpoint =\n").push, PushSettings(""))

    def test_endpoint(self) -> None:
        self.assertEqual(self.load("[push]\nendpoint = tcp:3003\n").push, PushSettings("tcp:3003"))

    def test_that_of_the_pages(self) -> None:
        """Nothing can listen there twice."""
        settings = self.load("[web]\nendpoint = tcp:3003\n[push]\nendpoint = tcp:3003\n")
        self.assertEqual(settings.push, PushSettings(""))

    def test_the_port_of_the_pages(self) -> None:
        """Both could never listen."""
        for web, push, wrong in (
            ("tcp:3002:interface=127.0.0.1", "tcp:3002", True),
            ("tcp:3002", "tcp:port=3002:interface=127.0.0.1", True),
            ("tcp:3002:interface=127.0.0.1", "tcp:3002:interface=127.0.0.1:backlog=9", True),
            ("tcp:3002:interface=0.0.0.0", "tcp:3002:interface=127.0.0.1", True),
            ("tcp:3002:interface=127.0.0.1", "tcp:3002:interface=127.0.0.2", False),
            ("tcp:3002:interface=127.0.0.1", "tcp6:3002", False),
            ("tcp:3002:interface=\\:\\:1", "tcp:3002", False),
            ("tcp:0", "tcp:0:interface=127.0.0.1", False),
            ("unix:a.sock", "unix:b.sock", False),
        ):
            text = f"[web]\nendpoint = {web}\n[push]\nendpoint = {push}\n"
            if wrong:
                self.assertIn(f"is on the port of {web}, where the pages are", self.problem(text))
            else:
                self.assertEqual(self.load(text).push, PushSettings(push))

    def test_problems(self) -> None:
        self.assertIn("must be a Twisted server endpoint", self.problem("[push]\nendpoint = nonsense\n"))
        self.assertIn("unknown option", self.problem("[push]\nport = 3003\n"))

    def test_backlog(self) -> None:
        self.assertEqual(with_backlog("tcp:80:interface=\\:\\:1", 9), "tcp:80:interface=\\:\\:1:backlog=9")
        for text in ("tcp:80:backlog=3", "systemd:domain=INET:name=http"):
            self.assertEqual(with_backlog(text, 9), text)


class TaskTests(LoadingTestCase):
    def test_task(self) -> None:
        settings = self.load(f"[web]\npublic_url = https://p/\n[task Nightly backup]\ngroup = db\ngrace = 5m\n{KEPT}")
        number = task_id("push:Nightly backup")
        self.assertEqual(
            settings.tasks,
            (
                Task(
                    url=None,
                    id=number,
                    name="Nightly backup",
                    label="",
                    page=f"https://p/task/{number}",
                    group="db",
                    grace=300.0,
                    frequency=60.0,
                    push_key=KEY,
                ),
            ),
        )
        self.assertEqual(settings.tasks[0].key, "push:Nightly backup")
        self.assertIn(KEY, settings.secrets)

    def test_groups(self) -> None:
        settings = self.load(f"[group group:db]\ngrace = 5m\n[task Backup]\ngroup = db\n{KEPT}")
        self.assertEqual(settings.tasks[0].grace, 300)
        self.assertIn(
            "set it in a [task NAME or URL] section",
            self.problem(f"[group name:x]\npush_key = {KEY}\n[urls]\nprod = http://x/\n"),
        )

    def test_the_name_is_the_identity(self) -> None:
        settings = self.load(f"[task backup]\nname = Backup of everything\n{KEPT}")
        self.assertEqual(settings.tasks[0].key, "push:Backup of everything")

    def test_order_and_debug(self) -> None:
        """It comes after the listed tasks, and rests with ``debug``, as all own tasks do."""
        text = f"[task Backup]\n{KEPT}[urls]\nprod = http://a/\ndev = http://b/\n"
        self.assertEqual([task.name for task in self.load(text).tasks], ["a/", "Backup"])
        self.assertEqual([task.name for task in self.load(f"[main]\ndebug = yes\n{text}").tasks], ["b/"])

    def test_disabled(self) -> None:
        self.assertEqual(self.load(f"[task Backup]\nenabled = no\n{KEPT}").tasks, ())

    def test_key_from_elsewhere(self) -> None:
        self.environ["KEY"] = KEY
        settings = self.load("[task B]\npush_key = ${env:KEY}\nfrequency = 1h\n")
        self.assertEqual(settings.tasks[0].push_key, KEY)

    def test_keys(self) -> None:
        rule = "must have at least 16 characters, all of them letters, digits or one of -_.~, such as a UUID"
        for key in ("k" * 15, "k" * 16 + "/x", "k" * 16 + " k", "k" * 16 + "?", "k" * 16 + "%20", "\N{SNOWMAN}" * 16):
            problem = self.problem(f"[task B]\npush_key = {key}\n")
            self.assertEqual(problem, f"2: [task B] push_key: {rule}")
        self.assertEqual(self.warnings_of("[task B]\nfrequency = 1h\npush_key = Aa0-_.~Aa0-_.~Aa\n"), [])

    def test_one_key_for_one_task(self) -> None:
        problem = self.problem(f"[task A]\n{KEPT}[task B]\n{KEPT}")
        self.assertEqual(
            problem, "5: [task B] push_key: is that of another task, too, first given in line 2; each needs its own"
        )

    def test_one_name_for_one_task(self) -> None:
        other = KEPT.replace("0001", "0002")
        problem = self.problem(f"[task Backup]\n{KEPT}[task x]\nname = backup\n{other}")
        self.assertIn("5: [task x] name: the task of line 1 has this name, too", problem)
        self.assertIn("duplicate section", self.problems(f"[task A]\n{KEPT}[task A]\n{other}")[0])
        both = f"[task A]\n{KEPT}[task x]\nname = A\n{other}"
        self.assertIn("4: [task x]: duplicate section of this task", self.problem(both))

    def test_one_name_with_a_task_that_is_fetched(self) -> None:
        settings = self.load(f"[task Backup]\n{KEPT}[task http://h/]\nname = Backup\n")
        self.assertEqual(len(settings.tasks), 2)
        self.assertIn("has this name, too; selectors match both", str(settings.warnings))

    def test_with_a_url(self) -> None:
        words = "is only for tasks without a URL; a task is either fetched or sends its reports"
        self.assertEqual(self.problem(f"[task B]\nurl = http://h/\n{KEPT}"), f"3: [task B] push_key: {words}")
        self.assertEqual(self.problem(f"[task http://h/]\n{KEPT}"), f"2: [task http://h/] push_key: {words}")

    def test_without_frequency(self) -> None:
        warnings = self.warnings_of(f"[task B]\npush_key = {KEY}\n")
        self.assertEqual(len(warnings), 1)
        self.assertIn("sets neither frequency nor schedule", warnings[0])

    def test_options_of_fetches(self) -> None:
        warnings = self.warnings_of(f"[task B]\ntimeout = 5\ntoken_auth = no\n{KEPT}")
        self.assertEqual(
            [warning.partition("] ")[2].partition(":")[0] for warning in warnings], ["timeout", "token_auth"]
        )
        self.assertIn("has no effect on a task with push_key", warnings[0])

    def test_the_interval_is_no_limit_of_a_timeout(self) -> None:
        self.assertEqual(self.warnings_of(f"[task B]\ninterval = 5\n{KEPT}"), [])
