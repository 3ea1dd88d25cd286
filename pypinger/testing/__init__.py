"""
Contract suites for channels, also for those of other packages (contract, section 5).

A suite is mixed into a test case of :mod:`twisted.trial.unittest`; trial, unittest and pytest run it. The suites need
nothing but Py Pinger itself.

:mod:`~pypinger.testing.channels`
    :class:`~pypinger.testing.channels.NotifierContract`, for channels that post with the HTTP client, and its fakes.
    Most channels need only this.
:mod:`~pypinger.testing.contract`
    :class:`~pypinger.testing.contract.ChannelContract`, for channels of any transport.
:mod:`~pypinger.testing.partial`
    :class:`~pypinger.testing.partial.PartialSuccessContract`, for channels with several recipients.
:mod:`~pypinger.testing.threads`
    :class:`~pypinger.testing.threads.ThreadedNotifierContract`, for channels whose messages can be replied to.
:mod:`~pypinger.testing.kept`
    :class:`~pypinger.testing.kept.KeptAliveContract`, for channels whose alerts expire.
:mod:`~pypinger.testing.alerts`
    Alerts to send.
"""
