"""
Forks Python's processes from one that has imported the daemon's modules: the imports are most of a start.

:mod:`tests.forked` starts it, and writes to the socket that is its standard input. A message is JSON: the arguments of
``python``, ``-c CODE ...`` or ``-m MODULE ...``, the working directory, the environment, and further modules to import
for this and later processes. Three descriptors come with it: standard output, standard error, and the one to which the
process id and, in the end, the exit status are written.

A module that is imported here keeps what it copied from another, such as a constant imported by name or the default of
an argument, when a process changes the original.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType

#: They import most of the daemon, but no reactor: a reactor belongs to one process.
IMPORTED = (
    "twisted.scripts.twistd",
    "twisted.application.strports",
    "twisted.cred.strcred",
    "twisted.internet.epollreactor",
    "twisted.plugins.pypinger_plugin",
    "pypinger.cli.status",
    "pypinger.cli.verbs",
    "pypinger.notify.alertmanager",
    "pypinger.notify.apprise",
    "pypinger.notify.email",
    "pypinger.notify.hipchat",
    "pypinger.notify.pagerduty",
    "pypinger.notify.sentry",
    "pypinger.notify.slack",
    "pypinger.notify.webhook",
    "pypinger.parts",
    "pypinger.runtime.collector",
    "pypinger.runtime.commands",
    "pypinger.runtime.control",
    "pypinger.runtime.heartbeat",
    "pypinger.runtime.outbox",
    "pypinger.runtime.pushes",
    "pypinger.runtime.sharing",
    "pypinger.stores",
    "pypinger.store.sqlite",
    "pypinger.supervision",
    "pypinger.tap",
    "pypinger.web.feeds.badge",
    "pypinger.web.feeds.feed",
    "pypinger.web.feeds.metrics",
    "pypinger.web.html.overview",
    "pypinger.web.html.removed",
    "pypinger.web.html.task_history",
    "pypinger.web.html.task_page",
    "pypinger.web.json.overview",
    "pypinger.web.json.v1",
    "pypinger.web.past.pages",
    "pypinger.web.public.answers",
    "pypinger.web.serving.requests",
    "pypinger.web.serving.site",
    "argparse",
    "automat",
    "email.policy",
    "encodings.idna",
    "prometheus_client.core",
    "werkzeug.routing",
)

NUMBER = struct.Struct("i")


def load(names: Iterable[str]) -> None:
    """Import modules that are not there yet."""
    new = [name for name in names if name not in sys.modules]
    for name in new:
        import_module(name)
    assert "twisted.internet.reactor" not in sys.modules, new
    if new:
        # The processes share the objects' memory as long as nothing writes to it, as the garbage collector does.
        gc.freeze()


def run(arguments: Sequence[str], directory: str, environ: Mapping[str, str], streams: Sequence[int]) -> None:
    """Be ``python`` with these arguments; its end is that of this process."""
    with open(os.devnull) as nothing:
        for number, stream in enumerate((nothing.fileno(), *streams)):
            os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    option, what, *rest = arguments
    sys.argv = [option, *rest]
    sys.path[0] = ""
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = ModuleType("__main__")
    exec(what, vars(sys.modules["__main__"]))


def main() -> None:
    """Fork a process for each message. Its parent is a process that waits for it and reports its end."""
    load(IMPORTED)
    requests = socket.socket(fileno=sys.stdin.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, 1_000_000, 3)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not message:
            return
        arguments, directory, environ, imports = json.loads(message)
        load(imports)
        if not os.fork():
            break
        for descriptor in descriptors:
            os.close(descriptor)
    *streams, news = descriptors
    pid = os.fork()
    if not pid:
        os.close(news)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(arguments, directory, environ, streams)
        return
    os.write(news, NUMBER.pack(pid))
    requests.close()
    for stream in (1, 2, *streams):
        os.close(stream)
    os.write(news, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


if __name__ == "__main__":
    main()
