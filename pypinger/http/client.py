"""
Sending messages: :class:`ChannelClient` is the :class:`~pypinger.ports.notifying.HttpClient` that channels post with.

It has connections of its own, so that a crowd of slow task endpoints cannot take the last one from an alert. A post is
never made twice: whether a message is sent again is for the outbox to decide.
"""

from __future__ import annotations

from collections.abc import Mapping

from treq import content
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.http import url as urls
from pypinger.http.agent import PollingAgent
from pypinger.http.deadline import Deadline, Deadlines
from pypinger.http.errors import ExchangeFailed
from pypinger.http.limits import Limits
from pypinger.http.reactor import IPollingReactor
from pypinger.http.request import USER_AGENT, basic, header_lines, request_head
from pypinger.http.tls import TrustSetting
from pypinger.ports.notifying import Reply, RequestFailed

# Idle connections are given up early: a post that goes out on a dead one is lost until its retry.
_LIMITS = Limits(body=65_536, cut=True, idle=10.0, age=300.0, connections=32)
_OWN_HEADERS = frozenset({"host", "content-length", "user-agent", "accept-encoding", "transfer-encoding", "connection"})


class ChannelClient:
    """
    Posts messages.

    :param ca_file: the private CA of ``[main]``, added to the system's trust.
    :param proxy: the proxy of ``[main]``: a URL, ``env``, or nothing.
    """

    _log = Logger()

    def __init__(self, reactor: IPollingReactor, *, ca_file: str | None = None, proxy: str | None = None) -> None:
        self._deadlines = Deadlines(reactor)
        self._agent = PollingAgent(reactor, _LIMITS)
        self._trust = TrustSetting(ca_file=ca_file)
        self._proxy = proxy

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: Seconds = 20.0) -> Reply:
        """
        POST `body`, following no redirect; of the answer's body the first 64 KiB are kept.

        :param timeout: seconds for the whole exchange; when it passes, the socket is closed.
        :raises RequestFailed: there was no answer; its words name the host and nothing else of `url`.
        """
        deadline = self._deadlines.begin(timeout)
        try:
            return await self._post(url, headers, body, deadline)
        except ExchangeFailed as failure:
            raise RequestFailed(failure.words) from None
        except CancelledError:
            if not deadline.expired:
                raise
            raise RequestFailed(deadline.failure().words) from None
        except Exception:
            self._log.failure("a post failed for a reason that nobody thought of")
            raise RequestFailed("the request failed in Py Pinger itself, see the log") from None
        finally:
            deadline.clear()

    async def close(self) -> None:
        """Close every connection, idle or in use; waits until they are gone."""
        await self._agent.close()

    async def _post(self, text: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Reply:
        url = urls.parse(text)
        route = self._agent.route(url, self._trust, self._proxy)
        given = [(name.encode(), value.encode()) for name, value in headers.items() if name.lower() not in _OWN_HEADERS]
        request = b"%s%s%s%sAccept-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (
            request_head(b"POST", url, route),
            USER_AGENT,
            basic(b"Authorization", url.userinfo) if url.userinfo else b"",
            header_lines(given),
            len(body),
            body,
        )
        response = await self._agent.exchange(route, request, deadline, repeatable=False)
        reply_headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers
        }
        return Reply(response.code, reply_headers, await content(response))
