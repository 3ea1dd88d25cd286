"""Descriptors: fetching and pages together leave some for channels."""

from __future__ import annotations

import sys

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.http.faults import answer
from tests.http.faultserver import FaultServer

# Half the descriptors go to clients of the pages; fetches that stall take what they may; then a message is posted.
CLIENT = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from pypinger.domain.model import Fault, Task
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.messenger import Messenger

async def main(reactor):
    stalling, answering = sys.argv[1:]
    pages = [socket.socket() for _ in range(256)]
    fetcher, messenger = TaskFetcher(reactor), Messenger(reactor)
    tasks = [Task(f"http://127.0.0.1:{stalling}/{n}", str(n), "", "", timeout=9.0) for n in range(600)]
    running = [Deferred.fromCoroutine(fetcher.fetch(task)) for task in tasks]
    await deferLater(reactor, 1)
    posts = [Deferred.fromCoroutine(messenger.post(f"http://127.0.0.1:{answering}/", headers={}, data=b"x"))
        for _ in range(16)]
    replies = await gatherResults(posts)
    await fetcher.close()
    faults = {found.fault for found in await gatherResults(running)}
    await messenger.close()
    print([reply.code for reply in replies] == [200] * 16, faults == {Fault.OWN}, len(pages))

react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


class Reserve(TestCase):
    """Over real sockets, in a process with few descriptors."""

    async def test_messages_leave(self) -> None:
        stalling, answering = FaultServer([]), FaultServer([answer(b"ok")])
        for server in (stalling, answering):
            self.addCleanup(server.listen().stopListening)
        output, errors, code = await getProcessOutputAndValue(
            sys.executable, ["-c", CLIENT, str(stalling.port), str(answering.port)], env=None
        )
        self.assertEqual((b"True True 256\n", 0), (output, code), errors.decode())
        self.assertLessEqual(stalling.connections, 128)
        await stalling.all_closed()
