"""
Tells ``twistd`` of ``twistd pypinger``; it imports nothing of Py Pinger, for every ``twistd`` start reads it.

Neither this directory nor its parent may ever hold an ``__init__.py``: it would hide Twisted's own modules.
"""

from twisted.application.service import ServiceMaker

pypinger = ServiceMaker(
    "Py Pinger",
    "pypinger.tap",
    "Watches scheduled tasks: fetches their reports, judges whether they run on time, tells people.",
    "pypinger",
)
