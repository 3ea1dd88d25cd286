"""Keeps secrets out of what endpoints say: one that echoes our own token must not carry it into a page or an alert."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.model import Finding, Invalid, Reported
from pypinger.domain.urls import Secrets


def redact(finding: Finding, secrets: Secrets) -> Finding:
    """`finding` without any secret in its texts; the very same object when there was none in a report."""
    if isinstance(finding, Reported):
        report = finding.report
        texts = report.reason, report.process, report.server
        scrubbed = tuple(None if text is None else secrets.scrub(text) for text in texts)
        if scrubbed == texts:
            return finding
        reason, process, server = scrubbed
        return replace(finding, report=replace(report, reason=reason, process=process, server=server))
    if isinstance(finding, Invalid):
        return replace(finding, problem=secrets.scrub(finding.problem))
    return replace(finding, words=secrets.scrub(finding.words))
