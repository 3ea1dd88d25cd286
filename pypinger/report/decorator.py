"""``monitored``: reports of Python functions and coroutines (contract, section 9)."""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import os
from typing import Any, Callable, TypeVar

from pypinger.report.content import Stopwatch, TaskDetails
from pypinger.report.destinations import ReportFile
from pypinger.report.push import RETRY_FOR, PushUrl
from pypinger.report.values import Length, cron_expression, machine_zone, minutes, time_zone

Function = TypeVar("Function", bound=Callable[..., Any])

# How long a function waits for its report to be pushed, in seconds; a thread keeps trying.
_PATIENCE = 5.0


def monitored(
    *,
    name: str | None = None,
    every: Length | None = None,
    schedule: str | None = None,
    timezone: str | None = None,
    max_runtime: Length | None = None,
    report: str | os.PathLike[str] | None = None,
    push: str | None = None,
) -> Callable[[Function], Function]:
    """
    Publish a report whenever the decorated function or coroutine starts and ends.

    An exception, or the cancellation of a coroutine, is an error, and is raised as before. What goes wrong with the
    report itself is logged.

    :param name: what the task is; by default the name of the function.
    :param every: how often it should run: minutes, text such as ``10m``, or a timedelta.
    :param schedule: when it should run instead, as a cron expression.
    :param timezone: that of the schedule, by default this machine's.
    :param max_runtime: how long a run may take, as `every`.
    :param report: the file to write.
    :param push: the URL to push to instead, by default that of ``$PYPINGER_PUSH_URL``.
    :raises ValueError: an argument is wrong.
    """
    if every is not None and schedule is not None:
        raise ValueError("give either every or schedule")
    if report is not None and push is not None:
        raise ValueError("give either report or push")
    details = TaskDetails(
        process=name,
        server=os.uname().nodename,
        every=None if every is None else minutes(every),
        schedule=None if schedule is None else cron_expression(schedule),
        timezone=machine_zone(os.environ) if timezone is None else time_zone(timezone),
        max_runtime=None if max_runtime is None else minutes(max_runtime),
    )
    url = push or os.environ.get("PYPINGER_PUSH_URL", "")
    if report is None and not url:
        raise ValueError("give report, push or $PYPINGER_PUSH_URL")

    def decorate(function: Any) -> Any:
        named = details._replace(process=name or getattr(function, "__name__", type(function).__name__))
        complain = logging.getLogger("pypinger.report").error
        destination: ReportFile | PushUrl
        if report is None:
            destination = PushUrl(url, named, complain)
            atexit.register(destination.wait, RETRY_FOR)
        else:
            destination = ReportFile(os.fspath(report), named, complain)
        return _wrap(function, destination)

    return decorate


def _wrap(function: Any, destination: ReportFile | PushUrl) -> Any:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a generator cannot be monitored: it ends when its caller wants")

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_coroutine(*arguments: Any, **named: Any) -> Any:
            run = _MonitoredRun(destination)
            try:
                await _beside(run.begin)
                result = await function(*arguments, **named)
            except GeneratorExit as error:
                # Who closes a coroutine does not let it wait.
                run.finish(error)
                raise
            except BaseException as error:
                await _beside(run.finish, error)
                raise
            await _beside(run.finish, None)
            return result

        return run_coroutine

    @functools.wraps(function)
    def run_function(*arguments: Any, **named: Any) -> Any:
        run = _MonitoredRun(destination)
        try:
            run.begin()
            result = function(*arguments, **named)
        except BaseException as error:
            run.finish(error)
            raise
        run.finish(None)
        return result

    return run_function


class _MonitoredRun:
    def __init__(self, destination: ReportFile | PushUrl) -> None:
        self._destination = destination
        self._stopwatch = Stopwatch()

    def begin(self) -> None:
        self._destination.begin(self._stopwatch.started)

    def finish(self, error: BaseException | None) -> None:
        ok = error is None or (isinstance(error, SystemExit) and not error.code)
        self._destination.finish(self._stopwatch.stop(ok, None if ok or error is None else _words(error)))
        self._destination.wait(_PATIENCE)


def _words(error: BaseException) -> str:
    name = type(error).__name__
    if name == "CancelledError" or isinstance(error, GeneratorExit):
        return "cancelled"
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    return f"{name}: {text}" if text else name


async def _beside(function: Callable[..., None], *arguments: Any) -> None:
    """
    Call a function that may block: from a task of asyncio in a thread, so that the loop does not wait.

    A cancellation is raised once the function has returned.
    """
    import asyncio  # slow, and of use to coroutines only

    call = functools.partial(function, *arguments)
    try:
        # Twisted runs coroutines on asyncio's loop, too, where they are no tasks and cannot await its futures.
        in_task = asyncio.current_task() is not None
        future = asyncio.get_running_loop().run_in_executor(None, call) if in_task else None
    except RuntimeError:  # no loop runs, or it shuts down
        future = None
    if future is None:
        call()
        return
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.shield(future)
        raise
