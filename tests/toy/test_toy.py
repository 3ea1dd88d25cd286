"""The channel passes the contract suite of the installed Py Pinger (``tests/test_third_party.py`` runs this)."""

from __future__ import annotations

import json
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from pypinger.ports.notifying import Reply
from pypinger.testing.channels import NotifierContract, reply


class ToyTests(NotifierContract, SynchronousTestCase):
    section = "toy"
    values: ClassVar = {"url": "https://toy.example/post", "token": "SECRET-token"}
    secrets = ("SECRET-token",)

    def accepted(self) -> Reply:
        return reply(202)

    def refused(self, words: str) -> Reply:
        return reply(403, json.dumps({"error": words}))
