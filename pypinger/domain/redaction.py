"""Keeps secrets out of what endpoints say: one that echoes our own token must not carry it into a page or an alert."""

from __future__ import annotations

import msgspec

from pypinger.domain.model import Finding, Invalid, NoAnswer, Reported
from pypinger.domain.urls import Secrets


def redact(finding: Finding, secrets: Secrets) -> Finding:
    """`finding` without any secret in its texts; the very same object when there was none."""
    match finding:
        case Reported(report=report):
            texts = report.reason, report.process, report.server
            scrubbed = tuple(None if text is None else secrets.scrub(text) for text in texts)
            if scrubbed == texts:
                return finding
            reason, process, server = scrubbed
            clean = msgspec.structs.replace(report, reason=reason, process=process, server=server)
            return msgspec.structs.replace(finding, report=clean)
        case Invalid(problem=problem):
            return msgspec.structs.replace(finding, problem=secrets.scrub(problem))
        case NoAnswer(words=words):
            return msgspec.structs.replace(finding, words=secrets.scrub(words))
