"""The tests. Processes that they start import parts of this package, too, and need no Hypothesis."""

import sys

if "twisted.trial" in sys.modules:
    from hypothesis import HealthCheck, settings

    # Making examples may take long on a busy machine.
    settings.register_profile("busy", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")
