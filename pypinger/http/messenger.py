"""
Sending messages: :class:`Messenger` is the :class:`~pypinger.ports.notifying.HttpClient` that channels post with.

It has connections of its own, so that slow task endpoints cannot use up those that alerts need. A post is never
repeated: the outbox decides whether a message is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treq import content
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.http_headers import Headers

from pypinger.domain.model import Seconds
from pypinger.domain.url import UrlError, parse
from pypinger.http.agents.polling import PollingAgent
from pypinger.http.client import NO_COOKIES, WireUrl, client_over, within
from pypinger.http.tunnels import MainProxy
from pypinger.http.wire.errors import ExchangeFailed
from pypinger.http.wire.headers import USER_AGENT, basic, check_header
from pypinger.http.wire.limits import Limits
from pypinger.http.wire.network import Network
from pypinger.http.wire.reactor import IPollingReactor
from pypinger.http.wire.tls import TrustSetting
from pypinger.ports.notifying import Proxies, Reply, RequestFailed

# Idle connections are closed early: a post on one that the server has closed is lost until its retry.
_LIMITS = Limits(body=65_536, cut=True, idle=10.0, age=300.0, connections=32)


class Messenger:
    """
    Posts messages.

    :param ca_file: the private CA of ``[main]``, added to the system's trust.
    :param proxy: the proxy of ``[main]``: a URL, ``env``, ``direct``, or nothing.
    """

    _log = Logger()

    def __init__(self, reactor: IPollingReactor, *, ca_file: str | None = None, proxy: str | None = None) -> None:
        self._reactor = reactor
        self._network = Network(reactor, _LIMITS)
        self._client = client_over(PollingAgent(self._network, trust=TrustSetting(ca_file=ca_file), proxy=proxy))
        self._proxies = MainProxy(reactor, self._network.names, proxy)

    @property
    def proxies(self) -> Proxies:
        """The proxy it sends through, for channels that do not send with it."""
        return self._proxies

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        data: bytes | None = None,
        timeout: Seconds = 20.0,
    ) -> Reply:
        """See :meth:`pypinger.ports.notifying.HttpClient.post`; the words name the host and nothing else of `url`."""
        return await self._request("POST", url, headers, {"data": data} if json is None else {"json": json}, timeout)

    async def get(self, url: str, *, timeout: Seconds = 20.0) -> Reply:
        """See :meth:`pypinger.ports.notifying.HttpClient.get`; the words name the host and nothing else of `url`."""
        return await self._request("GET", url, {}, {}, timeout)

    async def close(self) -> None:
        """Close every connection, idle or in use, and wait until they are gone."""
        await self._network.close()

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: dict[str, Any], timeout: Seconds
    ) -> Reply:
        try:
            return await self._exchange(method, url, headers, body, timeout)
        except (ExchangeFailed, UrlError) as failure:
            raise RequestFailed(str(failure)) from None
        except CancelledError:
            raise
        except Exception:
            self._log.failure("unexpected error while posting a message")
            raise RequestFailed("the request failed in Py Pinger itself, see the log") from None

    async def _exchange(
        self, method: str, text: str, headers: Mapping[str, str], body: dict[str, Any], timeout: Seconds
    ) -> Reply:
        url = parse(text)
        sent = Headers()
        for name, value in headers.items():
            check_header(name, value)
            sent.setRawHeaders(name, [value])
        if url.credentials is not None:
            sent.setRawHeaders(b"Authorization", [basic(url.credentials)])
        sent.setRawHeaders(b"User-Agent", [USER_AGENT])
        response = await within(
            timeout,
            self._reactor,
            self._client.request(
                method, WireUrl(url), headers=sent, cookies=NO_COOKIES, unbuffered=True, allow_redirects=False, **body
            ),
        )
        reply_headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return Reply(response.code, reply_headers, await content(response))
