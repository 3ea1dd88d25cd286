"""``pypinger validate``."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypinger.store.database import APPLICATION_ID
from tests.cli.test_command import CHECKOUT, pypinger


class ValidateTests(SynchronousTestCase):
    def validate(self, text: str) -> tuple[int, str, str]:
        self.path = self.mktemp()
        Path(self.path).write_text(text)
        return pypinger("validate", self.path)

    def test_valid(self) -> None:
        code, out, err = self.validate(
            "[urls]\nprod = http://a.example/?k=s3cret\n[slack]\nchannel = c\ntoken = s3cret\n"
            "[token_auth]\ntoken = s3cret\n[store]\npath = :memory:\n[web]\nhosts = localhost\n"
        )
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(
            out.splitlines(),
            [
                f"{self.path} is valid",
                "tasks: 1, from [urls] prod and [task] sections",
                "channels: slack",
                "token for the tasks: yes",
                "pages: tcp:3002:interface=127.0.0.1",
                "store: :memory:",
            ],
        )

    def test_included_files(self) -> None:
        """They are listed; their problems and warnings name them."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "shop.ini").write_text("[urls]\nprod = http://a.example/, http://a.example/\n")
        text = f"[main]\ninclude = {directory.absolute()}/*.ini\n[web]\nhosts = localhost\n"
        code, out, err = self.validate(text)
        self.assertEqual(code, 0, err)
        self.assertIn(f"included: {directory.absolute()}/shop.ini", out.splitlines())
        self.assertEqual(err.count("warning: "), 1)
        self.assertIn(f"warning: {directory.absolute()}/shop.ini:2: [urls] prod: ", err)
        (directory / "shop.ini").write_text("[urls]\nprod = S3CRET\n")
        code, out, err = self.validate(text)
        self.assertEqual((code, out), (1, ""))
        self.assertTrue(err.startswith(f"{directory.absolute()}/shop.ini:2: [urls] prod: "), err)

    def test_what_is_off(self) -> None:
        _, out, _ = self.validate("[main]\nonly_log = true\ndebug = true\n[urls]\ndev = http://a.example/\n")
        self.assertIn("channels: none (only_log is true: nothing is sent)", out)
        self.assertIn("token for the tasks: no", out)
        self.assertIn("from [urls] dev", out)

    def test_warnings(self) -> None:
        code, _, err = self.validate("[urls]\nprod = http://a.example/, http://a.example/\n[web]\nhosts = h\n")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"\Awarning: .+:2: \[urls\] prod: [^\n]+\n\Z")

    def test_every_problem(self) -> None:
        code, out, err = self.validate("[main]\ninterval = soon\n[slak]\n[slack]\ntoken = s3cret\n")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(len(err.splitlines()), 3, err)
        self.assertIn(f"{self.path}:2: [main] interval: ", err)
        self.assertNotIn("s3cret", err)

    def test_credential_outside_the_service(self) -> None:
        """A missing credential is a warning that hides no other problem; what depends on it counts as set."""
        text = (
            "[urls]\nprod = http://u:${credential:password}@a.example/\n[web]\nhosts = localhost\n"
            "[token_auth]\ntoken = Bearer ${credential:token}\n"
            "[slack]\nchannel = c\ntoken = ${credential:slack}\n[sentry]\nurl = ${credential:dsn}\n"
        )
        code, out, err = self.validate(text)
        self.assertEqual(code, 0, err)
        self.assertEqual(len(err.splitlines()), 4, err)
        self.assertRegex(err, r"(?m)^warning: .+:9: \[slack\] token: credential slack is missing")
        self.assertIn("channels: slack, sentry\ntoken for the tasks: yes\n", out)
        code, out, err = self.validate(text + "crons = maybe\n")
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(len(err.splitlines()), 1, err)

    def test_whole_list_in_a_credential(self) -> None:
        code, _, err = self.validate("[urls]\nprod = ${credential:urls}\n[web]\nhosts = localhost\n")
        self.assertEqual(code, 0, err)

    def test_as_the_daemon(self) -> None:
        """Where the daemon would not start, the file is invalid."""
        for text in ("[store]\npath = /nope/x.sqlite\n", "[store]\npath = /tmp\n", "[main]\nca_file = /nope\n"):
            code, out, err = self.validate(text)
            self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))

    def test_store_of_another_program(self) -> None:
        foreign, newer, ours = (os.path.abspath(self.mktemp()) for _ in range(3))
        for path, script in (
            (foreign, "CREATE TABLE a (b)"),
            (newer, f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1000; CREATE TABLE a (b)"),
            (ours, f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; CREATE TABLE a (b)"),
        ):
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(script)
        for path, words in ((foreign, "is not a database of Py Pinger"), (newer, "was written by a newer version")):
            code, out, err = self.validate(f"[store]\npath = {path}\n[urls]\nprod = http://h/\n[web]\nhosts = h\n")
            self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))
            self.assertIn(f"[store] path: {path} {words}", err)
        Path(foreign).write_text("text")
        self.assertEqual(self.validate(f"[store]\npath = {foreign}\n")[0], 1)
        Path(foreign).write_text("")
        for path in (foreign, ours):
            self.assertEqual(self.validate(f"[store]\npath = {path}\n")[0], 0)

    def test_no_task(self) -> None:
        code, _, err = self.validate("[web]\nhosts = localhost\n")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"\Awarning: [^\n]+ \[urls\] prod: there is no task to check\n\Z")

    def test_no_file(self) -> None:
        code, out, err = pypinger("validate", "/nowhere/pinger.ini")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("/nowhere/pinger.ini", err)

    def test_the_template(self) -> None:
        code, _, err = pypinger("validate", str(CHECKOUT / "pinger_template.ini"))
        self.assertEqual((code, err), (0, ""))


ROUTED = """
[urls]
prod = http://shop.example/orders, http://ops.example/backup
[task http://shop.example/orders]
name = orders
group = shop
[slack]
channel = ops
token = s3cret-token
[slack shop]
channel = shop
token = s3cret-token
match = group:shop
events = problem recovered
[hipchat night]
room = night
auth = s3cret-auth
match = kind:failed|late server:db*
after = 30m
"""


class RoutesTests(SynchronousTestCase):
    def routes(self, text: str, *selector: str) -> tuple[int, str, str]:
        path = self.mktemp()
        Path(path).write_text(text + "[store]\npath = :memory:\n[web]\nhosts = localhost\n")
        return pypinger("validate", "--routes", path, *selector)

    def test_all(self) -> None:
        """The channels are in the order of the file."""
        code, out, err = self.routes(ROUTED)
        self.assertEqual((code, err), (0, ""))
        everything = "problem, changed, reminder, recovered, flapping, acknowledged"
        night = (
            f"  hipchat night  {everything}; if the incident opens as failed or late;"
            " if its report matches kind:failed|late server:db*; once the incident has lasted 30 min"
        )
        self.assertEqual(
            out.splitlines(),
            [
                "orders (http://shop.example/orders)",
                f"  slack          {everything}",
                "  slack shop     problem, recovered, flapping as problem",
                night,
                "http://ops.example/backup",
                f"  slack          {everything}",
                night,
                "alerts without a task",
                "  slack          started, stopped, blind, sighted",
                "  slack shop     blind, sighted",
                "  hipchat night  started, stopped, blind, sighted",
            ],
        )

    def test_one_task(self) -> None:
        _, out, _ = self.routes(ROUTED, "orders")
        self.assertEqual(out.splitlines()[0], "orders (http://shop.example/orders)")
        self.assertNotIn("backup", out)
        self.assertEqual(self.routes(ROUTED, "nothing"), (1, "", "nothing matches no task\n"))
        code, _, err = self.routes(ROUTED, "srv:x")
        self.assertEqual(code, 1)
        self.assertIn("unknown prefix srv:", err)

    def test_without_channels(self) -> None:
        _, out, _ = self.routes("[urls]\nprod = http://ops.example/backup\n")
        self.assertEqual(
            out.splitlines(), ["http://ops.example/backup", "  no channel: only the log", "alerts without a task"]
        )

    def test_only_log(self) -> None:
        _, out, _ = self.routes(f"[main]\nonly_log = yes\n{ROUTED}")
        self.assertEqual(out.splitlines()[0], "only_log is true: until that is changed, nothing is sent")

    def test_secrets(self) -> None:
        url = "http://ops.example/backup?token=S3CRETS3CRET"
        _, out, _ = self.routes(
            f"[urls]\nprod = {url}\n[slack]\nurl = https://hooks.example/x\nmatch = {url} server:db*\n"
        )
        self.assertIn("if its report matches http://ops.example/backup?*** server:db*", out)

    def test_a_task_without_routes(self) -> None:
        code, out, err = pypinger("validate", "pinger.ini", "backup")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("TASK goes with --routes", err)
