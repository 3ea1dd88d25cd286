"""Blocking calls in threads."""

from __future__ import annotations

from threading import Thread

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from pypinger.notify.background import Background, TooManyThreads


class BackgroundTests(TestCase):
    async def test_a_thread_that_cannot_be_started_does_not_count(self) -> None:
        """Once the system gives threads again, calls work."""

        def start(thread: Thread) -> None:
            raise RuntimeError("can't start new thread")

        background = Background(reactor, 1)
        with self.assertRaises(TooManyThreads):
            patched = self.patch(Thread, "start", start)
            try:
                await background.call(lambda: 1)
            finally:
                patched.restore()
        self.assertEqual(await background.call(lambda: 2), 2)
