"""Keeps secrets out of what endpoints say: one that echoes our own token must not carry it into a page or an alert."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.model import Answer, Finding, Invalid, Observation, Reported
from pypinger.domain.urls import Secrets


def redact_observation(observation: Observation, secrets: Secrets) -> Observation:
    """
    `observation` without any secret in its body or its words; the very same object when there was none in a body.

    Before a report is read, since its texts are cut then, and half a secret would be left where the cut goes through.
    """
    if not isinstance(observation, Answer):
        return replace(observation, words=secrets.scrub(observation.words))
    body = observation.body.decode("utf-8", "surrogateescape")
    scrubbed = secrets.scrub(body)
    if scrubbed is body:
        return observation
    return replace(observation, body=scrubbed.encode("utf-8", "surrogateescape"))


def redact_finding(finding: Finding, secrets: Secrets) -> Finding:
    """
    `finding` without any secret in its texts; the very same object when there was none in a report.

    After a report is read, since only then are the escapes undone that its JSON may hide a secret in.
    """
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
    return finding
