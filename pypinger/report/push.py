"""Pushes reports to Py Pinger by POST (contract, section 9)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pypinger.report.content import EndedRun, Members, TaskDetails, end_members, timestamp
from pypinger.report.destinations import Complain

#: How long a report is retried, in seconds.
RETRY_FOR = 60.0

# How long to wait before the second attempt, in seconds; the next waits are longer.
_FIRST_PAUSE = 1.0

# The limit of each step of a request, in seconds.
_TIMEOUT = 10.0

# How many reports wait at most; older ones are dropped.
_MOST_WAITING = 100

# What is shown of the path, which holds the key.
_MASKED = "/***"

# The shortest part of a URL that is masked, in characters.
_SECRET = 8

# Answers below 500 after which another attempt may succeed.
_PASSING = (408, 425, 429)


class _Pending(NamedTuple):
    """
    A report to push.

    :ivar until: when it is given up, on the monotonic clock.
    """

    body: bytes
    ends: bool
    until: float


class _Refusal(NamedTuple):
    """
    Why a push failed.

    :ivar final: whether another attempt would fail as well.
    :ivar wait: seconds that the server asks for.
    """

    words: str
    final: bool = False
    wait: float = 0.0


class PushUrl:
    """
    A push URL of Py Pinger, which is secret: its key lets anyone report.

    A thread sends the reports one after the other, so that a monitor that is away holds up no task.

    :raises ValueError: the URL cannot be used; the message does not have it.
    """

    def __init__(self, url: str, details: TaskDetails, complain: Complain) -> None:
        self._url, self._origin, self._headers = _read_url(url.strip())
        target = self._url[len(self._origin) - len(_MASKED) :]
        parts = [target, *re.split("[/?&=]", target)]
        self._secrets = sorted((part for part in parts if len(part) >= _SECRET), key=len, reverse=True)
        self._details = details
        self._complain = complain
        self._changed = threading.Condition()
        self._waiting: deque[_Pending] = deque(maxlen=_MOST_WAITING)
        self._busy = False
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked process has neither the thread nor its work."""
        self._changed = threading.Condition()
        self._waiting.clear()
        self._busy = False

    def begin(self, started: float) -> None:
        """Push that a run starts; Py Pinger knows the outcome of the run before."""
        self._push({"status": "ok", "started": timestamp(started)}, ends=False)

    def finish(self, run: EndedRun) -> None:
        """Push the end of a run."""
        self._push(end_members(run._replace(reason=run.reason and self._masked(run.reason))), ends=True)

    def wait(self, seconds: float) -> bool:
        """Wait until all is pushed, or given up; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def _push(self, members: Members, ends: bool) -> None:
        body = json.dumps({**members, **self._details.members()}).encode("ascii")
        with self._changed:
            self._waiting.append(_Pending(body, ends, time.monotonic() + RETRY_FOR))
            self._changed.notify_all()
            if self._busy:
                return
            try:
                threading.Thread(target=self._work, name="pypinger-push", daemon=True).start()
                self._busy = True
            except RuntimeError as error:
                self._waiting.clear()
                self._complain(f"cannot push to {self._origin}: {error}")

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._busy = False
                    self._changed.notify_all()
                    return
                pending = self._waiting.popleft()
            try:
                self._deliver(pending)
            except Exception as error:
                self._complain(f"cannot push to {self._origin}: {self._words(error)}")

    def _deliver(self, pending: _Pending) -> None:
        """Push a report, again and again for a minute, or until a run that has ended since makes it old."""
        pause = _FIRST_PAUSE
        while True:
            refusal = self._attempt(pending.body, max(1.0, min(_TIMEOUT, pending.until - time.monotonic())))
            if refusal is None:
                return
            pause = max(pause, refusal.wait)
            if refusal.final or time.monotonic() + pause > pending.until:
                self._complain(f"cannot push to {self._origin}: {refusal.words}")
                return
            with self._changed:
                if self._changed.wait_for(lambda: any(each.ends for each in self._waiting), pause):
                    return
            pause = min(pause * 2, 15.0)

    def _attempt(self, body: bytes, timeout: float) -> _Refusal | None:
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        try:
            urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout).close()
        except urllib.error.HTTPError as error:
            return self._refusal(error)
        except urllib.error.URLError as error:
            return _Refusal(self._words(error.reason))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return _Refusal(self._words(error))
        return None

    def _refusal(self, answer: urllib.error.HTTPError) -> _Refusal:
        """An answer outside 2xx; its first line says why."""
        try:
            line = answer.read(1000).decode("utf-8", "replace").strip().partition("\n")[0].strip()
        except (OSError, http.client.HTTPException):
            line = ""
        finally:
            answer.close()
        words = f"HTTP {answer.code} {answer.reason}".strip()
        if line and not line.startswith("<"):
            words += f": {line}"
        wait = str(answer.headers.get("Retry-After", "")).strip()
        return _Refusal(
            self._words(words),
            final=answer.code < 500 and answer.code not in _PASSING,
            wait=float(wait) if re.fullmatch("[0-9]{1,4}", wait) else 0.0,
        )

    def _words(self, problem: BaseException | str) -> str:
        """What is wrong in one line, without the key."""
        words = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return "".join(each if each.isprintable() else " " for each in self._masked(words))[:200]

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASKED)
        return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A POST that follows a redirect becomes a GET, which Py Pinger does not take."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _read_url(url: str) -> tuple[str, str, Members]:
    """
    Return the URL without userinfo, its origin as it may be shown, and the headers of a push.

    :raises ValueError: the URL cannot be used.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "pypinger-report"}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is no valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("it must begin with http:// or https:// and a host")
    if re.search(r"[^!-~]", url):
        raise ValueError("it holds a character that must be percent-encoded")
    if parts.username is not None:
        userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(userinfo.encode()).decode("ascii")
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return origin + target, origin + _MASKED, headers
