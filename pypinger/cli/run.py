"""The ``run`` command: a command whose task report is published (contract, section 9)."""

from __future__ import annotations

from collections.abc import Sequence

from pypinger.report.command_line import main


def run(argv: Sequence[str]) -> int:
    """Run a command and publish its report; return the command's exit code."""
    return main(argv, "pypinger run")
