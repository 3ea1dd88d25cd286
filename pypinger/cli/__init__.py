"""
The ``pypinger`` command.

:mod:`pypinger.cli._arguments` parses the command line. Each command is a module of this package with a
``run(arguments) -> exit code``. All are imported only when they are needed: cron waits for ``pypinger run``, which
needs nothing else of the package, ``--help`` does without Twisted, and importing this module installs no reactor.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

#: The exit code of a monitoring plugin that could not make its check.
UNKNOWN = 3

#: The exit code of an interrupted command, as in shells.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param argv: the arguments, by default those of the process.
    :returns: the exit code.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv[:1]) == ["run"]:
        # Its standard streams are those of the command that it runs.
        published: int = import_module("pypinger.cli.run").run(argv[1:])
        return published
    output = import_module("pypinger.cli._output").Output()
    try:
        arguments = import_module("pypinger.cli._arguments").parse(argv)
        code: int = import_module(f"pypinger.cli.{arguments.module}").run(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finished: int = output.finish(code)
    return finished
