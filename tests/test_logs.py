"""The log's lines: clean, scrubbed, and where twistd's options want them."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from twisted.logger import Logger, LogPublisher, textFileLogObserver
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

    def test_tracebacks_keep_their_lines_and_lose_secrets(self) -> None:
        try:
            raise ValueError("hunter22\x1b")
        except ValueError:
            self.log.failure("oh")
        self.assertGreater(len(self.lines()), 2)
        self.assertNotIn("hunter22", self.file.getvalue())
        self.assertNotIn("\x1b", self.file.getvalue())

    def test_nothing_to_say(self) -> None:
        self.log.info("")
        self.assertEqual(self.lines(), [])

    def test_a_broken_event_is_still_logged(self) -> None:
        self.log.info("{missing}")
        self.assertEqual(len(self.lines()), 1)

    def test_debug_on_and_off(self) -> None:
        for debug in (False, True, False):
            self.clean.configure(Secrets(), debug=debug)
            self.log.debug("at debug, {debug}", debug=debug)
        self.assertEqual(len(self.lines()), 1)
        self.assertIn("at debug, True", self.lines()[0])


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
        for twistd in ({"logfile": "-"}, {"nodaemon": True, "logfile": None}):
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

    def test_syslog(self) -> None:
        from twisted.python import syslog

        said: list[str] = []
        self.patch(syslog.SyslogObserver, "syslog", staticmethod(lambda priority, text: said.append(text)))
        self.write(syslog=True, prefix="pp")
        self.assertIn("at info", said[0])
