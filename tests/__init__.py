"""The tests. Processes that they start import parts of this package, too, and need no Hypothesis."""

import sys
from unittest import TestResult

if "twisted.trial" in sys.modules:
    from hypothesis import HealthCheck, is_hypothesis_test, settings
    from twisted.trial.unittest import SynchronousTestCase

    # Making examples may take long on a busy machine.
    settings.register_profile("busy", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")

    run = SynchronousTestCase.run

    def run_measuring_examples_only(test: SynchronousTestCase, result: TestResult) -> None:
        """
        Coverage does not count tests with Hypothesis.

        Measuring doubles their time, and what random examples reach differs from run to run.
        """
        measure = sys.gettrace()
        if is_hypothesis_test(getattr(test, test.id().rpartition(".")[2], None)):
            sys.settrace(None)
        try:
            run(test, result)
        finally:
            sys.settrace(measure)

    SynchronousTestCase.run = run_measuring_examples_only  # type: ignore[method-assign]
