"""The tests. Processes that they start import parts of this package, too, and need no Hypothesis."""

import os
import sys

if "twisted.trial" in sys.modules:
    from unittest import TestResult

    from hypothesis import HealthCheck, is_hypothesis_test, settings
    from twisted.trial.unittest import SynchronousTestCase

    # Making examples may take long on a busy machine.
    settings.register_profile("busy", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")

    run = SynchronousTestCase.run

    def run_measuring_examples_only(test: SynchronousTestCase, result: TestResult) -> None:
        """
        Coverage counts neither tests with Hypothesis and long tests that reach what others do, those with a true
        attribute `unmeasured`, nor the processes that tests start.

        Measuring doubles their time. What random examples reach differs from run to run, and what was measured in a
        process that is killed is lost.
        """
        # Trial's own processes have begun to measure by now.
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
        measure = sys.gettrace()
        method = getattr(test, test.id().rpartition(".")[2], None)
        if is_hypothesis_test(method) or getattr(test, "unmeasured", False):
            sys.settrace(None)
        try:
            run(test, result)
        finally:
            sys.settrace(measure)

    SynchronousTestCase.run = run_measuring_examples_only  # type: ignore[method-assign]
