"""
Publishes task reports (contract, section 9).

``pypinger run`` reports on a command, :func:`monitored` on a Python function or coroutine. The package needs nothing
but the standard library of Python 3.8. ``docs/publisher.py`` makes one file of it, ``contrib/pypinger-report.py``,
which can be copied to machines that have no Py Pinger.
"""

from __future__ import annotations

from pypinger.report.decorator import monitored

__all__ = ["monitored"]
