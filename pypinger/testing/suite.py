"""What suites are made of that are mixed into a test case, and are none themselves: each module would run them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

if TYPE_CHECKING:
    import unittest

    from twisted.python.failure import Failure

    _Result = TypeVar("_Result")

    class SuiteBase(unittest.TestCase):
        """What a suite uses of ``twisted.trial.unittest.SynchronousTestCase``, which has no annotations."""

        def successResultOf(
            self,
            deferred: Coroutine[Deferred[_Result], Any, _Result]
            | Generator[Deferred[_Result], Any, _Result]
            | Deferred[_Result],
        ) -> _Result: ...

        def failureResultOf(self, deferred: Any, *expectedExceptionTypes: Any) -> Failure: ...

else:
    SuiteBase = object

_Suite = TypeVar("_Suite")


def finished(test: Callable[[_Suite], Coroutine[Any, Any, None]]) -> Callable[[_Suite], Deferred[None] | None]:
    """Make a test of a coroutine, which must be over at once unless the test case waits for Deferreds."""

    @wraps(test)
    def run(suite: Any) -> Deferred[None] | None:
        running = Deferred.fromCoroutine(test(suite))
        if isinstance(suite, TestCase):
            return running
        suite.successResultOf(running)
        return None

    return run
