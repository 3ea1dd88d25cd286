"""The daemon's log: encodings, readers that do not read, rotation (contract, sections 4 and 8)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.acceptance.endpoints import Endpoints, report
from tests.acceptance.process import TWISTD, Daemon, free_port, ini, until


class EncodingTests(TestCase):
    timeout = 300

    async def test_alerts_reach_the_log(self) -> None:
        """Characters that its encoding lacks are escaped."""
        for encoding in ("ascii", "latin-1"):
            tasks = Endpoints(self)
            url = tasks.url(
                "/task", report(status="error", reason="caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}")
            )
            port = free_port()
            text = ini(port, [url], "only_log = true\ngreeting = \N{SNOWMAN} up")
            daemon = Daemon(self, text, port, command=TWISTD, environ={"PYTHONIOENCODING": encoding})
            await daemon.becomes(url, kind="failed")
            await until(lambda d=daemon: b"\\u2603" in d.out and d.out.count(b"\\u2603") > 1, "the alert")
            log = daemon.out.decode(encoding)
            self.assertIn("Py Pinger started", log)
            self.assertIn("\\u2603 up", log)
            self.assertIn("caf\\xe9 \\u2603" if encoding == "ascii" else "café \\u2603", log)
            daemon.out = b""
            await daemon.stop()


class StreamTests(TestCase):
    timeout = 300

    async def test_reader_that_does_not_read(self) -> None:
        """A full pipe stops neither pages nor checks nor the end of the process."""
        tasks = Endpoints(self)
        url = tasks.url("/task", report())
        port = free_port()
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            while True:
                os.write(write, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(write, True)
        text = ini(port, [url], "only_log = true\ninterval = 0.2\ndebug = true\ndebug_now = true")
        shell = ("sh", "-c", f'exec "$0" "$@" >/proc/{os.getpid()}/fd/{write}')
        daemon = Daemon(self, text, port, command=(*shell, *TWISTD))
        await daemon.becomes(url, kind="ok")
        os.close(write)
        pings = (await daemon.task(url))["pings"]
        await until(lambda: len(tasks.requests) > pings + 5, "more checks")
        daemon.signal("TERM")
        self.assertEqual(await daemon.end(), 0)
        os.close(read)

    async def test_nowhere_to_write(self) -> None:
        """A full disk and a closed standard output stop nothing."""
        for output in (">/dev/full", ">&-"):
            tasks = Endpoints(self)
            url = tasks.url("/task", report())
            port = free_port()
            command = ("sh", "-c", f'exec "$0" "$@" {output}', *TWISTD)
            daemon = Daemon(self, ini(port, [url], "only_log = true"), port, command=command)
            await daemon.becomes(url, kind="ok")
            await daemon.stop()


class RotationTests(TestCase):
    timeout = 300

    def daemon(self, *twistd: str) -> tuple[Daemon, str]:
        tasks = Endpoints(self)
        url = tasks.url("/task", report())
        port = free_port()
        daemon = Daemon(self, ini(port, [url], "only_log = true"), port, twistd=("-n", "--pidfile=", *twistd))
        return daemon, url

    async def test_log_file_that_was_moved(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGHUP):
            daemon, url = self.daemon("--logfile=the.log")
            log, moved = Path(daemon.directory, "the.log"), Path(daemon.directory, "the.log.1")
            await daemon.becomes(url, kind="ok")
            log.rename(moved)
            os.kill(daemon.pid, number)
            await until(log.exists, "the new file")
            size = moved.stat().st_size
            await daemon.stop()
            self.assertIn("Py Pinger stopped", log.read_text())
            self.assertEqual(moved.stat().st_size, size)

    async def test_without_a_file(self) -> None:
        daemon, url = self.daemon()
        await daemon.becomes(url, kind="ok")
        os.kill(daemon.pid, signal.SIGUSR1)
        await daemon.stop()

    async def test_during_the_start(self) -> None:
        """Signals that come while the ini file is read do not kill; SIGHUP reloads once the reactor runs."""
        tasks = Endpoints(self)
        url = tasks.url("/task", report())
        port = free_port()
        # Long enough that the file is being read when the signals come.
        many = "".join(f"[task {tasks.origin}/{number}]\ninterval = 3600\n" for number in range(3000))
        daemon = Daemon(self, ini(port, [url], "only_log = true", many), port, command=TWISTD)
        await until(lambda: _handles(daemon.pid, signal.SIGHUP), "its handler")
        daemon.signal("HUP")
        os.kill(daemon.pid, signal.SIGUSR1)
        await daemon.becomes(url, kind="ok")
        await until(lambda: "reloaded pinger.ini" in daemon.log, "the reload")
        await daemon.stop()


def _handles(pid: int, number: int) -> bool:
    """Whether twistd runs and has a handler for this signal."""
    try:
        if "twistd" not in Path(f"/proc/{pid}/cmdline").read_text():
            return False
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)
