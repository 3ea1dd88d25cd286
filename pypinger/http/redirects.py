"""
Requests as they are made, and where redirects take them: credentials stay at home.

A token, a user's password or a client certificate goes to the origin it was meant for and to no other, and once a
redirect has left that origin they are gone for the rest of the chain (the contract, section 3).
"""

from __future__ import annotations

import msgspec

from pypinger.domain.model import Fault
from pypinger.http.agent import PollingAgent
from pypinger.http.deadline import Deadline
from pypinger.http.errors import ExchangeFailed
from pypinger.http.request import request_head
from pypinger.http.response import Response
from pypinger.http.tls import TrustSetting
from pypinger.http.url import Url, join


class Ask(msgspec.Struct, frozen=True):
    """
    One GET to be made.

    :ivar lines: header lines that go anywhere, each with its line end.
    :ivar secret: header lines with credentials.
    :ivar proxy: the proxy setting.
    """

    url: Url
    lines: bytes
    secret: bytes
    trust: TrustSetting
    proxy: str | None


async def follow(agent: PollingAgent, ask: Ask, response: Response, deadline: Deadline) -> tuple[Response, Ask]:
    """
    Go where redirects lead.

    :param response: the answer to `ask`.
    :returns: the first answer that is no redirect, and what was asked then.
    :raises ExchangeFailed: there is none.
    """
    for _ in range(agent.limits.redirects):
        if response.location is None:
            break
        ask = next_ask(ask, response.location)
        route = agent.route(ask.url, ask.trust, ask.proxy)
        request = b"%s%s%s\r\n" % (request_head(b"GET", ask.url, route), ask.lines, ask.secret)
        response = await agent.exchange(route, request, deadline, follow=True)
    if response.location is not None:
        raise ExchangeFailed(Fault.REDIRECTS, f"too many redirects (more than {agent.limits.redirects})")
    return response, ask


def next_ask(ask: Ask, location: bytes) -> Ask:
    """
    The request that a redirect leads to.

    :raises ExchangeFailed: it leads nowhere that can be fetched.
    """
    try:
        url = join(ask.url, location)
    except ExchangeFailed as failure:
        words = failure.words.replace("the URL", "the URL it leads to")
        raise ExchangeFailed(Fault.REDIRECTS, f"a redirect cannot be followed: {words}") from None
    if url.origin == ask.url.origin:
        return msgspec.structs.replace(ask, url=url)
    return msgspec.structs.replace(ask, url=url, secret=b"", trust=TrustSetting(ca_file=ask.trust.ca_file))
