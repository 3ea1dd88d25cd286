"""Debian's ``prometheus-alertmanager`` in a process of its own, with a receiver for its notifications."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import treq
from twisted.internet.error import ConnectError
from twisted.trial.unittest import SkipTest, TestCase

from tests.acceptance.endpoints import Request, Server
from tests.acceptance.process import PATIENCE, Process, ask, free_port, pause, until

_CONFIG = """\
route:
  receiver: test
  group_by: ["..."]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


class Notifications(Server):
    """
    Receives what Alertmanager sends to people.

    :ivar told: (status, name of the alert, id of the task) of each notification.
    """

    def __init__(self, test: TestCase) -> None:
        super().__init__(test)
        self.told: list[tuple[str, str, str]] = []

    def respond(self, request: Request) -> None:
        for alert in json.loads(request.body)["alerts"]:
            labels = alert["labels"]
            self.told.append((alert["status"], labels["alertname"], labels.get("id", "")))
        request.answer(200)


class RealAlertmanager:
    """
    An Alertmanager on a port of the loopback interface, killed when the test ends.

    :raises SkipTest: it is not installed.
    """

    def __init__(self, test: TestCase) -> None:
        program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
        if program is None:
            raise SkipTest("prometheus-alertmanager is not installed")
        directory = tempfile.mkdtemp(prefix="pypinger-alertmanager-")
        test.addCleanup(shutil.rmtree, directory)
        self.notifications = Notifications(test)
        config = Path(directory, "alertmanager.yml")
        config.write_text(_CONFIG.format(url=self.notifications.origin))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(
            test,
            program,
            f"--config.file={config}",
            f"--storage.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            directory=directory,
        )

    async def is_ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if (await ask(self.port, "/-/ready")).code == 200:
                    return
            except ConnectError:
                pass
            if self.process.ended is not None or time.monotonic() > deadline:
                raise AssertionError(f"it does not answer:\n{self.process.log}")
            await pause(0.05)

    async def alerts(self) -> dict[str, dict[str, Any]]:
        """The alerts that are open, by the id of their task, else by their name."""
        # A long answer comes in chunks.
        answer = await treq.get(f"{self.url}/api/v2/alerts", persistent=False)
        found = await treq.json_content(answer)
        return {each["labels"].get("id", each["labels"]["alertname"]): each for each in found}

    async def tells(self, *told: tuple[str, str, str]) -> None:
        """Wait until these notifications, and no others, were sent."""
        await until(lambda: len(self.notifications.told) >= len(told), f"{told}")
        assert self.notifications.told == list(told), self.notifications.told
