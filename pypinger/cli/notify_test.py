"""
``pypinger notify-test``: sends one alert, marked as a test, through all channels, and prints what each service said.

It is sent once; retries would hide what is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from socket import gethostname
from typing import Any

from pypinger.config import ConfigErrors, load
from pypinger.domain.alerting import daemon_alert
from pypinger.domain.model import Event
from pypinger.domain.redaction import Secrets
from pypinger.notify import channels, make_notifier, unusable
from pypinger.ports.notifying import ChannelContext
from pypinger.runtime.drill import send_to_all

#: Exit codes.
ACCEPTED, REFUSED, NOT_SENT = 0, 1, 2


def run(arguments: argparse.Namespace) -> int:
    """
    Send the alert and print one line for each channel.

    :returns: the exit code: 0 all accepted, 1 at least one did not, 2 nothing was sent.
    """
    try:
        settings = load(arguments.ini, channels=channels(), unusable=unusable(), environ=os.environ)
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return NOT_SENT
    if not settings.channels:
        print(f"{settings.path}: no channel is configured", file=sys.stderr)
        return NOT_SENT
    if settings.only_log:
        print(f"{settings.path}: [main] only_log is true, so nothing is sent", file=sys.stderr)
        return NOT_SENT

    async def send(reactor: Any) -> int:
        from pypinger.http.messenger import Messenger

        client = Messenger(reactor, ca_file=settings.ca_file, proxy=settings.proxy)

        def context(name: str) -> ChannelContext:
            return ChannelContext(name, client, time.time, reactor, settings.ca_file, client.proxies)

        notifiers = [make_notifier(each.kind, each.values, context(each.name)) for each in settings.channels]
        words = f"This is a test; no action is needed. It was sent by pypinger notify-test on {gethostname()}."
        results = await send_to_all(notifiers, daemon_alert(Event.TEST, words, time.time()), reactor.seconds)
        await client.close()
        secrets = Secrets(settings.secrets)
        for result in results:
            print(secrets.scrub(str(result)))
        return ACCEPTED if all(result.accepted for result in results) else REFUSED

    from pypinger.cli._reactor import run_until_done

    return run_until_done(send, NOT_SENT)
