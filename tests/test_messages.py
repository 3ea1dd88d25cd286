"""``docs/messages.md`` shows what the channels send now."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Event
from pypinger.notify import channels
from tests.test_packaging import run

DOCS = Path(__file__).parent.parent / "docs"


def script() -> ModuleType:
    """``docs/messages.py``, which is in no package."""
    spec = spec_from_file_location("messages", DOCS / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class MessagesTests(SynchronousTestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.messages = script()
        self.addCleanup(sys.modules.pop, "messages")

    def test_up_to_date(self) -> None:
        """After a change of a text or a channel, ``make messages`` writes the page anew."""
        path = self.mktemp()
        result = run(sys.executable, DOCS / "messages.py", os.path.abspath(path), cwd=DOCS.parent)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((DOCS / "messages.md").read_text(encoding="utf-8"), Path(path).read_text(encoding="utf-8"))

    def test_every_event(self) -> None:
        events = {alert.event for scene in self.messages.scenes() for alert in scene.alerts}
        self.assertEqual(events, set(Event))

    def test_every_channel(self) -> None:
        self.assertLessEqual(channels().keys(), self.messages.RENDERINGS.keys())
