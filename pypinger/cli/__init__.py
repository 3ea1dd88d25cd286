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


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command.

    :param argv: the arguments, by default those of the process.
    :returns: the exit code.
    """
    argv = sys.argv[1:] if argv is None else argv
    if list(argv[:1]) == ["run"]:
        # Its standard streams are those of the command that it runs.
        from pypinger.cli.run import run

        return run(argv[1:])
    from pypinger.cli._codes import INTERRUPTED
    from pypinger.cli._output import Output

    output = Output()
    try:
        from pypinger.cli._arguments import parse

        arguments = parse(argv)
        code: int = import_module(f"pypinger.cli.{arguments.module}").run(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    return output.finish(code)
