"""``pypinger demo``: runs the daemon as ``twistd pypinger`` does, with sample tasks on loopback."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from typing import Any

from pypinger.cli.fleet import SAMPLES, FleetSite

LOOPBACK = "127.0.0.1"


def run(arguments: argparse.Namespace) -> int:
    """
    Run until interrupted.

    :returns: the exit code: 0 after a clean stop, 1 if a port is not available.
    """
    from twisted.internet import reactor
    from twisted.internet.error import CannotListenError

    running: Any = reactor
    try:
        fleet = running.listenTCP(arguments.fleet_port, FleetSite(time.time), interface=LOOPBACK)
    except CannotListenError as error:
        print(f"pypinger demo: the sample tasks' port: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="pypinger-demo-") as directory:
        path = os.path.join(directory, "pinger.ini")
        port = arguments.port or free_port()
        with open(path, "w", encoding="utf-8") as file:
            file.write(ini(port, fleet.getHost().port))
        return _serve(running, path, port, fleet.getHost().port)


def ini(port: int, fleet_port: int) -> str:
    """
    Return the ini file of the demonstration.

    :param port: of the pages.
    :param fleet_port: of the sample tasks.
    """
    tasks = [(f"http://{LOOPBACK}:{fleet_port}/{sample.path}", sample.name) for sample in SAMPLES]
    tasks.append((f"http://{LOOPBACK}:1/", "Refuses connections"))
    listed = "\n".join(f"    {url}" for url, _ in tasks)
    named = "\n\n".join(f"[task {url}]\nname = {name}" for url, name in tasks)
    return f"""\
[main]
only_log = true
interval = 5
error_interval = 120
timeout = 3
grace = 5

[urls]
prod =
{listed}

[web]
endpoint = tcp:{port}:interface={LOOPBACK}
hosts = {LOOPBACK} localhost

[store]
path = :memory:

{named}
"""


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def _serve(reactor: Any, path: str, port: int, fleet_port: int) -> int:
    from twisted.logger import globalLogBeginner

    from pypinger import tap
    from pypinger.service import StartError

    options: Any = tap.Options()
    options.parent = {"nodaemon": True}
    options.parseOptions(["--config", path])
    pinger: Any = tap.makeService(options)
    globalLogBeginner.beginLoggingTo([pinger.log], redirectStandardIO=False)
    try:
        pinger.privilegedStartService()
        pinger.startService()
    except StartError as error:
        print(f"pypinger demo: {error}", file=sys.stderr)
        return 1
    reactor.addSystemEventTrigger("before", "shutdown", pinger.stopService)
    print(
        f"""
The pages:        http://{LOOPBACK}:{port}/
The sample tasks: http://{LOOPBACK}:{fleet_port}/{SAMPLES[0].path} and {len(SAMPLES) - 1} more
The ini file:     {path}
Ctrl-C stops the demo.
""",
        flush=True,
    )
    reactor.run()
    return 0
