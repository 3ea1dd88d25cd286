"""The log's lines: clean, scrubbed, and where twistd's options want them."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher, textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from pypinger import logs
from pypinger.domain.redaction import Secrets


class CleanLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        self.clean = logs.CleanLog(textFileLogObserver(self.file))
        self.clean.configure(Secrets({"hunter22"}), debug=False)
        self.log = Logger(observer=LogPublisher(self.clean), namespace="here")

    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def test_plain(self) -> None:
        self.log.info("hello {name}", name="you")
        self.assertRegex(self.lines()[0], r"^20.* \[here#info\] hello you$")

    def test_secrets(self) -> None:
        self.log.info("it said {said}", said="hunter22!")
        self.assertIn("it said ***!", self.lines()[0])

    def test_control_characters(self) -> None:
        self.log.info("{said}", said="a\nb\r\x1b[31m\0\u2028\x85\ud800é")
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("a\\nb\\r\\x1b[31m\\x00\\u2028\\x85\\ud800é", self.lines()[0])

    def test_traceback(self) -> None:
        try:
            raise ValueError("hunter22\x1b")
        except ValueError:
            self.log.failure("oh")
        self.assertGreater(len(self.lines()), 2)
        self.assertNotIn("hunter22", self.file.getvalue())
        self.assertNotIn("\x1b", self.file.getvalue())

    def test_empty_event(self) -> None:
        self.log.info("")
        self.assertEqual(self.lines(), [])

    def test_event_without_its_value(self) -> None:
        self.log.info("{missing}")
        self.assertEqual(len(self.lines()), 1)

    def test_debug_on_and_off(self) -> None:
        for debug in (False, True, False):
            self.clean.configure(Secrets(), debug=debug)
            self.log.debug("at debug, {debug}", debug=debug)
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("at debug, True", self.lines()[0])


class JsonTests(SynchronousTestCase):
    """``[main] log = json``."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.clean = logs.make_log({"logfile": self.path})
        self.configure()
        self.log = Logger(observer=LogPublisher(self.clean), namespace="here")

    def configure(self, *, as_json: bool = True) -> None:
        self.clean.configure(Secrets({"hunter22"}), debug=False, as_json=as_json)

    def lines(self) -> list[str]:
        with open(self.path, encoding="ascii") as file:
            return file.read().splitlines()

    def members(self) -> dict[str, Any]:
        (line,) = self.lines()
        members: dict[str, Any] = json.loads(line)
        return members

    def test_members(self) -> None:
        self.clean(
            {
                "log_time": 1_700_000_000.25,
                "log_level": LogLevel.warn,
                "log_namespace": "here",
                "log_format": "hello {name}",
                "name": "you",
            }
        )
        self.assertEqual(
            self.members(),
            {"time": "2023-11-14T22:13:20.250Z", "level": "warn", "namespace": "here", "message": "hello you"},
        )

    def test_alert(self) -> None:
        """The marks of an alert are members; other fields of the event are not."""
        marks = {"event": "problem", "task": "0123456789ab", "kind": "late", "id": "0123456789abcdef"}
        self.log.warn("{text}", text="PROBLEM: late", **marks)
        members = self.members()
        self.assertEqual({name: members[name] for name in marks}, marks)
        self.assertEqual(set(members), {"time", "level", "namespace", "message", *marks})

    def test_secrets(self) -> None:
        self.log.info("it said {said}", said="hunter22!", task="hunter22")
        self.assertEqual((self.members()["message"], self.members()["task"]), ("it said ***!", "***"))

    def test_unusual_characters(self) -> None:
        """They are as in text; what ASCII lacks is escaped."""
        self.log.info("{said}", said='a\nb\x1b[31m\ud800é"', task="\ud800")
        self.assertEqual((self.members()["message"], self.members()["task"]), ('a\\nb\\x1b[31m\\ud800é"', "\\ud800"))

    def test_long_text_is_complete(self) -> None:
        """With ``only_log`` the line is all that there is of an alert."""
        self.log.info("{text}", text="x" * 100_000)
        self.assertEqual(len(self.members()["message"]), 100_000)

    def test_traceback(self) -> None:
        """It is one line."""
        try:
            raise ValueError("hunter22\x1b")
        except ValueError:
            self.log.failure("oh {what}", what="dear")
        members = self.members()
        self.assertEqual(members["level"], "critical")
        self.assertRegex(members["message"], r"(?s)\Aoh dear\nTraceback .*ValueError: \*\*\*\\x1b\Z")

    def test_reload(self) -> None:
        """The format changes with the settings."""
        for as_json in (True, False, True):
            self.configure(as_json=as_json)
            self.log.info("a line")
        self.assertEqual([line.startswith("{") for line in self.lines()], [True, False, True])

    def test_journal(self) -> None:
        """The priority precedes the object."""
        with open(self.path, "w") as file:
            self.patch(sys, "stdout", file)
            status = os.fstat(file.fileno())
            self.clean = logs.make_log({"nodaemon": True}, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
            self.configure()
            Logger(observer=LogPublisher(self.clean)).error("a\nb")
        (line,) = self.lines()
        self.assertEqual((line[:3], json.loads(line[3:])["message"]), ("<3>", "a\\nb"))

    def test_syslog(self) -> None:
        """syslog has marks of its own, and gets text."""
        from twisted.python import syslog

        said: list[str] = []
        self.patch(syslog.SyslogObserver, "syslog", staticmethod(lambda priority, text: said.append(text)))
        self.clean = logs.make_log({"syslog": True, "prefix": "pp"})
        self.configure()
        Logger(observer=LogPublisher(self.clean)).info("at info")
        self.assertTrue(said[0].endswith("at info"), said)


class ObserverTests(SynchronousTestCase):
    def write(self, **twistd: Any) -> None:
        Logger(observer=LogPublisher(logs.make_log(twistd))).info("at info")

    def test_a_file(self) -> None:
        path = self.mktemp()
        self.write(logfile=path, nodaemon=False)
        with open(path) as file:
            text = file.read()
        self.assertIn("at info", text)

    def test_standard_output(self) -> None:
        for twistd in ({"nodaemon": True, "logfile": "-"}, {"nodaemon": True, "logfile": None}):
            out = io.StringIO()
            self.patch(sys, "stdout", out)
            self.write(**twistd)
            self.assertIn("at info", out.getvalue())

    def test_a_daemon_logs_to_twistd_log(self) -> None:
        directory = self.mktemp()
        os.mkdir(directory)
        before = os.getcwd()
        os.chdir(directory)
        self.addCleanup(os.chdir, before)
        self.write(nodaemon=False)
        self.assertEqual(os.listdir("."), ["twistd.log"])

    def test_daemon_without_standard_output(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            logs.make_log({"logfile": "-"})
        self.assertIn("a daemon cannot log to standard output", str(caught.exception))

    def test_file_that_cannot_be_opened(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            logs.make_log({"logfile": "/no/such/file"})
        self.assertEqual(
            str(caught.exception),
            "twistd pypinger: --logfile /no/such/file: it cannot be opened: No such file or directory",
        )

    def test_fifo(self) -> None:
        """It is written like standard output; without a reader it is one line."""
        path = self.mktemp()
        os.mkfifo(path)
        with self.assertRaises(SystemExit) as caught:
            logs.make_log({"logfile": path})
        self.assertEqual(
            str(caught.exception), f"twistd pypinger: --logfile {path}: it cannot be opened: No such device or address"
        )
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.write(logfile=path)
        self.assertIn(b"at info", os.read(reader, 4096))

    def test_reopened(self) -> None:
        """A file that was moved is written no more; if the new one cannot be opened, the old one stays in use."""
        directory = self.mktemp()
        os.mkdir(directory)
        path, moved = os.path.join(directory, "log"), os.path.join(directory, "log.1")
        observer = logs.make_log({"logfile": path})
        log = Logger(observer=LogPublisher(observer))
        log.info("before")
        os.rename(path, moved)
        log.info("moved")
        observer.reopen()
        log.info("after")
        with open(moved) as old, open(path) as new:
            self.assertEqual([line.split()[-1] for line in old], ["before", "moved"])
            self.assertEqual([line.split()[-1] for line in new], ["after"])
        os.rename(directory, f"{directory}.away")
        self.assertRaises(FileNotFoundError, observer.reopen)
        log.info("still")
        with open(os.path.join(f"{directory}.away", "log")) as new:
            self.assertIn("still", new.read())

    def test_nothing_to_reopen(self) -> None:
        self.patch(sys, "stdout", io.StringIO())
        logs.make_log({"nodaemon": True}).reopen()

    def test_journal(self) -> None:
        """Each line has its priority, but only where standard output is the journal."""
        path = self.mktemp()
        with open(path, "w") as file:
            self.patch(sys, "stdout", file)
            status = os.fstat(file.fileno())
            for journal in (f"{status.st_dev}:{status.st_ino}", "8:1"):
                observer = logs.make_log({"nodaemon": True}, {"JOURNAL_STREAM": journal})
                observer.configure(Secrets(), debug=True)
                log = Logger(observer=LogPublisher(observer))
                log.critical("a")
                log.error("b")
                log.warn("c")
                log.info("d")
                log.debug("e")
                try:
                    raise ValueError
                except ValueError:
                    log.failure("f")
        with open(path) as file:
            lines = file.read().splitlines()
        ours, plain = lines[: len(lines) // 2], lines[len(lines) // 2 :]
        self.assertEqual([line[:3] for line in ours[:6]], ["<2>", "<3>", "<4>", "<6>", "<7>", "<2>"])
        self.assertGreater(len(ours), 7)
        self.assertEqual({line[:3] for line in ours[6:]}, {"<2>"})
        self.assertFalse([line for line in plain if line.startswith("<")])

    def test_syslog(self) -> None:
        from twisted.python import syslog

        said: list[str] = []
        self.patch(syslog.SyslogObserver, "syslog", staticmethod(lambda priority, text: said.append(text)))
        self.write(syslog=True, prefix="pp")
        self.assertIn("at info", said[0])
