"""What curl and Python's http.client read, the fetcher reads: the cases of :data:`tests.http.faults.LENIENT`."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import zlib
from contextlib import closing
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.http.faults import LENIENT, REPORT, Case
from tests.http.faultserver import FaultServer

#: Seconds to wait for the rest of an answer that a client does not read to its end.
PATIENCE = 2


def read_with_http_client(port: int) -> bytes:
    """Return the body as http.client reads it, decoded as requests and urllib3 do."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/")
        with closing(connection.getresponse()) as response:
            body = response.read()
    coding = response.headers.get("Content-Encoding")
    if coding in ("gzip", "deflate"):
        body = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(body)
    return body


class Yardsticks(TestCase):
    """Over real sockets."""

    async def bodies(self, case: Case) -> set[bytes]:
        """Return what both clients read."""
        server = FaultServer(case.script)
        listening = server.listen()
        found = set()
        try:
            found.add(await deferToThread(self.read_with_curl, server.port))
            try:
                found.add(await deferToThread(read_with_http_client, server.port))
            except (http.client.HTTPException, OSError, ValueError):
                pass
        finally:
            await listening.stopListening()
            await server.all_closed()
        return found

    def setUp(self) -> None:
        found = shutil.which("curl")
        if found is None:
            raise SkipTest("curl is not installed")
        self.curl = found

    def read_with_curl(self, port: int) -> bytes:
        command = [self.curl, "-s", "--compressed", "--max-time", str(PATIENCE), f"http://127.0.0.1:{port}/"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else b""

    async def test_lenient(self) -> None:
        unread = [case.name for case in LENIENT if REPORT not in await self.bodies(case)]
        self.assertEqual([], unread)
