"""Contract suites for packages that add channels (contract, section 5): see :mod:`pypinger.testing.channels`."""
