"""
Registers ``twistd pypinger``. It imports nothing of Py Pinger, since every start of ``twistd`` imports it.

There must be no ``__init__.py`` in this directory or its parent: it would hide Twisted's own modules.
"""

from twisted.application.service import ServiceMaker

pypinger = ServiceMaker(
    "Py Pinger",
    "pypinger.tap",
    "Monitors scheduled tasks: fetches their reports, decides whether they are on time, and alerts people.",
    "pypinger",
)
