"""
The client: one ``IAgent`` made for polling, and the ports that stand on it.

:class:`~pypinger.http.fetcher.TaskFetcher` gets reports, :class:`~pypinger.http.client.ChannelClient` sends messages;
both stand on :class:`~pypinger.http.agent.PollingAgent`, which speaks treq's API. Nothing here knows what a report or
an alert is, and nothing here raises for what an endpoint does.
"""
