"""What systemd hears of us, on a real datagram socket."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from pypinger.systemd import notify, watchdog_interval


class NotifyTests(SynchronousTestCase):
    def listen(self, address: str) -> socket.socket:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(manager.close)
        manager.bind(address)
        return manager

    def directory(self) -> str:
        # trial's own temporary directories are too deep for the 108 bytes of a socket's name
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path)
        return path

    def test_one_datagram(self) -> None:
        path = os.path.join(self.directory(), "notify")
        manager = self.listen(path)
        self.patch(os, "environ", {"NOTIFY_SOCKET": path})
        self.assertTrue(notify("READY=1\nSTATUS=3 tasks, déjà vu"))
        self.assertEqual(manager.recv(4096).decode(), "READY=1\nSTATUS=3 tasks, déjà vu")
        self.assertRaises(BlockingIOError, manager.recv, 4096)

    def test_abstract_socket(self) -> None:
        name = f"pypinger-test-{os.getpid()}-{id(self)}"
        manager = self.listen("\0" + name)
        self.patch(os, "environ", {"NOTIFY_SOCKET": "@" + name})
        self.assertTrue(notify("WATCHDOG=1"))
        self.assertEqual(manager.recv(4096), b"WATCHDOG=1")

    def test_lone_surrogates_are_sent_as_question_marks(self) -> None:
        path = os.path.join(self.directory(), "notify")
        manager = self.listen(path)
        self.patch(os, "environ", {"NOTIFY_SOCKET": path})
        self.assertTrue(notify("STATUS=\ud800"))
        self.assertEqual(manager.recv(4096), b"STATUS=?")

    def test_nobody_listens(self) -> None:
        for address in ("", "relative", "vsock:2:1", "/nowhere/at/all", "/" + "x" * 200, "/with\0nul", "@" + "x" * 200):
            self.patch(os, "environ", {"NOTIFY_SOCKET": address})
            self.assertFalse(notify("READY=1"), address)
        self.patch(os, "environ", {})
        self.assertFalse(notify("READY=1"))

    def test_a_full_socket_does_not_block(self) -> None:
        path = os.path.join(self.directory(), "notify")
        self.listen(path)
        self.patch(os, "environ", {"NOTIFY_SOCKET": path})
        self.assertIn(False, [notify("WATCHDOG=1") for _ in range(5000)])


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
