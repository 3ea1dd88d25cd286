"""Channels are found by their modules."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from pypinger.notify import channels


class RegistryTests(SynchronousTestCase):
    def test_all_found(self) -> None:
        self.assertEqual(["apprise", "email", "hipchat", "sentry", "slack"], list(channels()))
        for name, channel in channels().items():
            self.assertEqual(name, channel.name)

    def test_options_of_the_contract(self) -> None:
        options = {name: {option.name for option in channel.options} for name, channel in channels().items()}
        self.assertEqual({"url", "channel", "token", "user", "emoji", "threads"}, options["slack"])
        self.assertEqual({"room", "auth", "emoji", "url"}, options["hipchat"])
        self.assertEqual({"url", "environment", "crons"}, options["sentry"])
        self.assertEqual({"server", "tls", "user", "password", "from", "to"}, options["email"])
        self.assertEqual({"urls"}, options["apprise"])

    def test_secrets_are_marked(self) -> None:
        secret = {
            (name, option.name) for name, channel in channels().items() for option in channel.options if option.secret
        }
        self.assertEqual(
            {
                ("apprise", "urls"),
                ("email", "password"),
                ("hipchat", "auth"),
                ("sentry", "url"),
                ("slack", "token"),
                ("slack", "url"),
            },
            secret,
        )

    def test_cannot_be_changed(self) -> None:
        with self.assertRaises(TypeError):
            channels()["own"] = channels()["slack"]  # type: ignore[index]
