"""Channels are found by their modules."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.notify import channels


class RegistryTests(SynchronousTestCase):
    def test_all_found(self) -> None:
        names = ["alertmanager", "apprise", "email", "hipchat", "pagerduty", "sentry", "slack", "webhook"]
        self.assertEqual(names, list(channels()))
        for name, channel in channels().items():
            self.assertEqual(name, channel.name)

    def test_options_of_the_contract(self) -> None:
        options = {name: {option.name for option in channel.options} for name, channel in channels().items()}
        self.assertEqual({"url", "channel", "token", "user", "emoji", "threads"}, options["slack"])
        self.assertEqual({"room", "auth", "emoji", "url"}, options["hipchat"])
        self.assertEqual({"url", "environment", "crons"}, options["sentry"])
        self.assertEqual({"server", "tls", "user", "password", "from", "to"}, options["email"])
        self.assertEqual({"urls"}, options["apprise"])
        self.assertEqual({"url", "headers", "secret", "template"}, options["webhook"])
        self.assertEqual({"routing_key", "url"}, options["pagerduty"])
        self.assertEqual({"url"}, options["alertmanager"])

    def test_who_is_sent_the_end_in_any_case(self) -> None:
        """Those whose service keeps incidents of its own (contract, section 4, "Silence")."""
        self.assertEqual(
            {name for name, channel in channels().items() if channel.resolves}, {"alertmanager", "pagerduty"}
        )

    def test_secrets_are_marked(self) -> None:
        secret = {
            (name, option.name) for name, channel in channels().items() for option in channel.options if option.secret
        }
        expected = {("slack", "url"), ("slack", "token"), ("hipchat", "auth"), ("sentry", "url")}
        expected |= {("webhook", "url"), ("webhook", "headers"), ("webhook", "secret"), ("pagerduty", "routing_key")}
        expected |= {("apprise", "urls"), ("email", "password")}
        self.assertEqual(expected, secret)

    def test_cannot_be_changed(self) -> None:
        with self.assertRaises(TypeError):
            channels()["own"] = channels()["slack"]  # type: ignore[index]
