"""The options of ``twistd pypinger``, and refused starts."""

from __future__ import annotations

import gc
import io
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IService
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver
from twisted.trial.unittest import TestCase

from pypinger import __version__, tap
from pypinger.ports.storing import StoreError
from pypinger.service import Pinger, StartError
from tests.store.inline import InlineStore


class TapCase(TestCase):
    def write(self, text: str) -> str:
        path = self.mktemp()
        Path(path).write_text(text)
        return path

    def options(self, text: str) -> Any:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        options: Any = tap.Options()
        options.parseOptions(["--config", self.write(text)])
        return options

    def make(self, endpoint: str = "tcp:0:interface=127.0.0.1") -> Pinger:
        text = f"[main]\nonly_log = true\n[web]\nendpoint = {endpoint}\n[store]\npath = :memory:\n"
        for name in ("seconds", "callWhenRunning"):
            self.patch(reactor, name, getattr(reactor, name))
        self.patch(reactor, "callWhenRunning", lambda *args: None)
        self.patch(sys, "excepthook", sys.excepthook)
        # The daemon freezes objects at its start.
        self.addCleanup(gc.unfreeze)
        made: Any = tap.makeService(self.options(text))
        return made


class OptionsTests(TapCase):
    def test_valid_file(self) -> None:
        options = self.options("[main]\ninterval = 30\n")
        self.assertEqual(options.settings.task_defaults.interval, 30)

    def test_problems(self) -> None:
        path = self.write("[main]\ninterval = never\nbogus = 1\n")
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--config", path])
        lines = str(caught.exception.code).splitlines()
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith(f"{path}:2: [main] interval: "), lines)

    def test_no_file(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--config", "/nonexistent/pinger.ini"])
        self.assertIn("/nonexistent/pinger.ini", str(caught.exception.code))

    def test_version(self) -> None:
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        with self.assertRaises(SystemExit) as caught:
            tap.Options().parseOptions(["--version"])
        self.assertEqual(caught.exception.code, 0)
        self.assertIn(__version__, out.getvalue())

    def test_help(self) -> None:
        self.assertIn("pinger_template.ini", str(tap.Options()))


class StartTests(TapCase):
    def test_the_application_gets_its_log_observer(self) -> None:
        made = self.make()
        application = Application("pypinger")
        made.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), made.log)
        self.assertEqual(list(IService(application)), [made])

    async def test_starts_and_stops(self) -> None:
        made = self.make()
        made.privilegedStartService()
        made.startService()
        self.assertTrue(made.board.daemon().ready)
        await made.stopService()

    async def test_busy_port(self) -> None:
        taken: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        made = self.make(f"tcp:{taken.getHost().port}:interface=127.0.0.1")
        with self.assertRaises(StartError) as caught:
            made.privilegedStartService()
        self.assertIn("in use", str(caught.exception))
        self.assertIn(str(taken.getHost().port), str(caught.exception))
        await taken.stopListening()

    def test_socket_that_systemd_did_not_pass(self) -> None:
        with self.assertRaises(StartError) as caught:
            self.make("systemd:domain=INET:name=http")
        self.assertIn("[web] endpoint", str(caught.exception))

    async def test_store_that_cannot_be_opened(self) -> None:
        made = self.make()

        class Broken(InlineStore):
            def open(self) -> Any:
                raise StoreError("x.sqlite: is damaged; move it away")

        made.store = Broken()
        made.privilegedStartService()
        with self.assertRaises(StartError) as caught:
            made.startService()
        self.assertEqual(str(caught.exception), "x.sqlite: is damaged; move it away")
        await made.stopService()

    def test_refused_start_is_one_line(self) -> None:
        err = io.StringIO()
        self.patch(sys, "__stderr__", err)
        tap._excepthook(StartError, StartError("cannot"), None)
        self.assertEqual(err.getvalue(), "twistd pypinger: cannot\n")

    def test_other_exceptions_are_shown_whole(self) -> None:
        seen: list[object] = []
        self.patch(sys, "__excepthook__", lambda *args: seen.append(args[0]))
        tap._excepthook(ValueError, ValueError(), None)
        self.assertEqual(seen, [ValueError])
