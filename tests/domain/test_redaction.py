"""Tests for :mod:`pypinger.domain.redaction`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Answer, Fault, Finding, Invalid, NoAnswer, Report, Reported
from pypinger.domain.redaction import redact_finding, redact_observation
from pypinger.domain.report import read
from pypinger.domain.urls import Secrets

SECRETS = Secrets({"s3cret"})


class RedactTests(SynchronousTestCase):
    def test_every_text_of_a_finding(self) -> None:
        findings: list[tuple[Finding, Finding]] = [
            (
                Reported(200, Report(False, 1.0, 5.0, "a s3cret", (), "s3crets", "s3cret")),
                Reported(200, Report(False, 1.0, 5.0, "a ***", (), "***s", "***")),
            ),
            (Reported(503, Report(False, 1.0, reason="s3cret")), Reported(503, Report(False, 1.0, reason="***"))),
            (Invalid(200, "not s3cret"), Invalid(200, "not ***")),
            (NoAnswer(Fault.DNS, "gone", 0.5), NoAnswer(Fault.DNS, "gone", 0.5)),
        ]
        for finding, clean in findings:
            self.assertEqual(redact_finding(finding, SECRETS), clean)

    def test_a_clean_report_is_not_copied(self) -> None:
        finding = Reported(200, Report(True, 1.0, server="web1"))
        self.assertIs(redact_finding(finding, SECRETS), finding)

    def test_observations(self) -> None:
        self.assertEqual(
            redact_observation(NoAnswer(Fault.DNS, "no s3cret", 0.5), SECRETS), NoAnswer(Fault.DNS, "no ***", 0.5)
        )
        self.assertEqual(
            redact_observation(Answer(200, b'{"reason": "s3cret \xff"}', 0.5), SECRETS),
            Answer(200, b'{"reason": "*** \xff"}', 0.5),
        )
        clean = Answer(200, b"\xff{}", 0.5)
        self.assertIs(redact_observation(clean, SECRETS), clean)

    def test_half_a_secret_is_not_left_at_the_cut(self) -> None:
        body = b'{"status": "error", "lastrun": "2026-11-22T12:00:00Z", "reason": "%ss3cret"}' % (b"x" * 497)
        finding = read(redact_observation(Answer(200, body, 0.5), SECRETS))
        assert isinstance(finding, Reported)
        self.assertNotIn("s3c", finding.report.reason or "")
