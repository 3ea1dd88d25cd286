"""
Forks lives of a daemon from a process that has imported its modules: the imports are most of a start.

Usage: ``python -m tests.crash.forks MODULE ...``, with further modules to import. Each line of standard input is JSON:
the arguments of ``twistd`` and the environment variables of the next life. Between the lines of the lives, standard
output has ``\\0born`` and the process id; it and standard error have ``\\0dead`` and the exit status after all that the
life has written. SIGTERM kills the life, too.

Modules are imported before ``hurry`` and ``step_clock`` of :mod:`tests.crash.launcher` run. These change attributes of
modules and classes: a copy that was made at the import keeps the old value, such as a constant or ``time.time`` that is
imported by name, or the default of an argument.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module

#: They import most of the daemon, but no reactor: a reactor belongs to one process.
IMPORTED = (
    "twisted.scripts.twistd",
    "pypinger.config",
    "pypinger.parts",
    "pypinger.runtime.outbox",
    "pypinger.store.sqlite",
    "pypinger.web.feeds.metrics",
    "pypinger.web.html.overview",
    "pypinger.web.json.v1",
    "pypinger.web.past.pages",
    "pypinger.web.public.answers",
    "pypinger.web.serving.site",
    "automat",
    "prometheus_client.core",
    "werkzeug.routing",
    "tests.crash.launcher",
)


def live(arguments: list[str], environ: Mapping[str, str]) -> None:
    """Be the daemon, in a process of its own."""
    from tests.crash import launcher

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    os.environ.update(environ)
    sys.argv[1:] = arguments
    launcher.run()


def main() -> None:
    """Fork one life after another."""
    pid = 0

    def end(*_: object) -> None:
        if pid:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    for name in (*IMPORTED, *sys.argv[1:]):
        import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    while line := sys.stdin.readline():
        arguments, environ = json.loads(line)
        # A signal between the fork and the assignment would not end the life.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if not pid:
            live(arguments, environ)
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.write(1, b"\0born %d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        for out in (1, 2):
            os.write(out, b"\0dead %d\n" % code)


if __name__ == "__main__":
    main()
