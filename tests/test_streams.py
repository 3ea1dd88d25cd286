"""Log streams whose readers do not read."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import time

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from pypinger.streams import LogStream
from tests.stopwatch import Stopwatch


class ThreadClock(Clock):
    """A clock that runs work of other threads at once."""

    def callFromThread(self, work, *args):  # type: ignore[no-untyped-def]
        work(*args)


class StreamTests(SynchronousTestCase):
    def pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        return read, write

    def received(self, read: int, stream: LogStream | None = None) -> bytes:
        data = b""
        while select.select([read], [], [], 0)[0]:
            data += os.read(read, 65_536)
            if stream is not None:
                stream.drain(0)
        return data

    def test_written_at_once(self) -> None:
        read, write = self.pipe()
        LogStream(write, "utf-8").write("déjà vu\n")
        self.assertEqual(self.received(read).decode(), "déjà vu\n")

    def test_encoding(self) -> None:
        """Characters that the encoding lacks are escaped."""
        read, write = self.pipe()
        LogStream(write, "latin-1").write("é \N{SNOWMAN}\n")
        self.assertEqual(self.received(read), b"\xe9 \\u2603\n")
        LogStream(write, "ascii").write("é \N{EN DASH}\n")
        self.assertEqual(self.received(read), b"\\xe9 \\u2013\n")

    def test_no_reader(self) -> None:
        """Lines wait in order; those beyond the capacity are dropped and counted."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        read, write = self.pipe()
        stream = LogStream(write, "utf-8", 20_000)
        clock = ThreadClock()
        stream.use(clock)
        lines = [f"line {number} {'x' * 90}\n" for number in range(400)]
        stopwatch = Stopwatch()
        for line in lines:
            stream.write(line)
        clock.advance(60)
        self.assertLess(stopwatch.seconds(), 5)
        data = self.received(read)
        while clock.getDelayedCalls():
            clock.advance(0.1)
            data += self.received(read)
        kept = data.decode().splitlines(keepends=True)
        self.assertEqual(kept, lines[: len(kept)])
        self.assertGreater(len(kept), 200)
        self.assertEqual([event["count"] for event in events if "count" in event], [400 - len(kept)])
        stream.write("later\n")
        self.assertEqual(self.received(read), b"later\n")

    def test_long_line(self) -> None:
        read, write = self.pipe()
        stream = LogStream(write, "utf-8")
        stream.write("x" * 50_000 + "\n")
        self.assertEqual(self.received(read, stream), b"x" * 50_000 + b"\n")

    def test_socket(self) -> None:
        """As the journal's."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        stream = LogStream(ours.fileno(), "utf-8")
        for number in range(20_000):
            stream.write(f"{number}\n")
        expected = "".join(f"{number}\n" for number in range(20_000)).encode()
        self.assertEqual(self.received(theirs.fileno(), stream), expected)

    def test_end_of_the_process(self) -> None:
        """The buffer is written if there is a reader, and given up after a time if not."""
        read, write = self.pipe()
        stream = LogStream(write, "utf-8")
        stream.write("x" * 10_000)
        stopwatch, before = Stopwatch(), time.monotonic()
        stream.drain(0.3)
        self.assertGreater(time.monotonic() - before, 0.25)
        self.assertLess(stopwatch.seconds(), 3)
        self.assertEqual(len(self.received(read, stream)), 10_000)

    def test_nowhere_to_write(self) -> None:
        """A reader that is gone and a full device are no error."""
        read, write = os.pipe()
        os.close(read)
        full = os.open("/dev/full", os.O_WRONLY)
        for descriptor in (write, full):
            stream = LogStream(descriptor, "utf-8")
            stream.write("lost\n")
            stream.drain(0)
            os.close(descriptor)
