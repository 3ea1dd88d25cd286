"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.supervision import Supervision, notify, watchdog_interval


class Manager:
    """A service manager's socket."""

    def __init__(self, test: SynchronousTestCase, address: str = "") -> None:
        if not address:
            # Trial's own temporary directories are too deep for the 108 bytes of a socket's name.
            directory = tempfile.mkdtemp()
            test.addCleanup(shutil.rmtree, directory)
            address = os.path.join(directory, "notify")
        self.environ = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        test.addCleanup(self._socket.close)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def received(self) -> list[str]:
        """All messages that have not been returned yet."""
        messages: list[str] = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages


class NotifyTests(SynchronousTestCase):
    def test_one_datagram(self) -> None:
        manager = Manager(self)
        self.assertTrue(notify(manager.environ, "READY=1\nSTATUS=3 tasks, déjà vu"))
        self.assertEqual(manager.received(), ["READY=1\nSTATUS=3 tasks, déjà vu"])

    def test_abstract_socket(self) -> None:
        manager = Manager(self, f"@pypinger-test-{os.getpid()}-{id(self)}")
        self.assertTrue(notify(manager.environ, "WATCHDOG=1"))
        self.assertEqual(manager.received(), ["WATCHDOG=1"])

    def test_lone_surrogates_are_sent_as_question_marks(self) -> None:
        manager = Manager(self)
        self.assertTrue(notify(manager.environ, "STATUS=\ud800"))
        self.assertEqual(manager.received(), ["STATUS=?"])

    def test_no_manager(self) -> None:
        for address in ("", "relative", "vsock:2:1", "/nowhere/at/all", "/" + "x" * 200, "/with\0nul", "@" + "x" * 200):
            self.assertFalse(notify({"NOTIFY_SOCKET": address}, "READY=1"), address)
        self.assertFalse(notify({}, "READY=1"))

    def test_full_socket_does_not_block(self) -> None:
        manager = Manager(self)
        self.assertIn(False, [notify(manager.environ, "WATCHDOG=1") for _ in range(5000)])


class WatchdogTests(SynchronousTestCase):
    def test_seconds(self) -> None:
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "30000000"}), 30.0)
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}), 0.5)

    def test_off(self) -> None:
        self.assertIsNone(watchdog_interval({}))
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "0"}))
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "-5"}))
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "soon"}))

    def test_another_process_is_watched(self) -> None:
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}))


class RunningClock(Clock):
    """A clock that is running already."""

    def callWhenRunning(self, work: Callable[..., Any], *args: Any) -> None:
        work(*args)


class SupervisionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.manager = Manager(self)
        self.clock = RunningClock()
        self.stuck: str | None = None

    def start(self, **environ: str) -> Supervision:
        made = Supervision(self.clock, {**self.manager.environ, **environ}, lambda: self.stuck, lambda: "all is well")
        made.startService()
        return made

    def test_ready_and_stopping(self) -> None:
        made = self.start()
        self.assertEqual(self.manager.received(), ["READY=1\nSTATUS=all is well"])
        made.stopping()
        self.assertEqual(self.manager.received(), ["STOPPING=1"])
        made.stopService()
        self.clock.advance(1000)
        self.assertEqual(self.manager.received(), [])

    def test_reload(self) -> None:
        made = self.start()
        self.clock.advance(2.5)
        made.reloading()
        made.ready()
        self.assertEqual(
            self.manager.received()[1:],
            ["RELOADING=1\nMONOTONIC_USEC=2500000", "READY=1\nSTATUS=all is well"],
        )

    def test_watchdog_is_fed_twice_per_interval(self) -> None:
        made = self.start(WATCHDOG_USEC="20000000", WATCHDOG_PID=str(os.getpid()))
        self.clock.pump([1.0] * 25)
        self.assertEqual(self.manager.received()[1:], ["WATCHDOG=1\nSTATUS=all is well"] * 3)
        made.stopService()
        self.clock.advance(1000)
        self.assertEqual(self.manager.received(), [])

    def test_watchdog_is_not_fed_while_checks_are_stuck(self) -> None:
        self.start(WATCHDOG_USEC="20000000")
        self.stuck = "checks are stuck"
        self.manager.received()
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.manager.received(), [])
        self.stuck = None
        self.clock.pump([1.0] * 11)
        self.assertEqual(len(self.manager.received()), 1)
