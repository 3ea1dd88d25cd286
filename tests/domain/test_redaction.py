"""Tests for :mod:`pypinger.domain.redaction`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.model import Fault, Finding, Invalid, NoAnswer, Report, Reported
from pypinger.domain.redaction import redact
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
            (NoAnswer(Fault.DNS, "s3cret", 0.5), NoAnswer(Fault.DNS, "***", 0.5)),
        ]
        for finding, clean in findings:
            self.assertEqual(redact(finding, SECRETS), clean)

    def test_a_clean_report_is_not_copied(self) -> None:
        finding = Reported(200, Report(True, 1.0, server="web1"))
        self.assertIs(redact(finding, SECRETS), finding)
