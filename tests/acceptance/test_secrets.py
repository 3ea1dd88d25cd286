"""
Secrets do not leak, even when endpoints and channels echo them (contract, section 6).

Every secret of the ini file contains a mark that occurs nowhere else, so that one search of the log, the pages and the
messages finds a leak. The endpoints and channels echo what they receive.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from twisted.trial.unittest import TestCase

from tests.acceptance.channels import HipChat, Sentry, SlackWebApi, SlackWebhook
from tests.acceptance.endpoints import Endpoints, Request, members, raw
from tests.acceptance.process import Daemon, free_port, ini, until

#: Part of every secret, in letters that no encoding changes.
MARK = "ZqXs"
DSN_KEY = "feedfacecafebeef0123456789abcdef"


def echo_failed(request: Request) -> None:
    words = request.dump
    request.answer(200, json.dumps(members(status="error", reason=words, process=words[:300], server=words[-300:])))


def echo_invalid(request: Request) -> None:
    request.answer(200, json.dumps({"status": request.dump, "lastrun": request.dump, request.dump: 1}))


def echo_bad_member(request: Request) -> None:
    request.answer(200, json.dumps(members(frequency=request.dump)))


def echo_bad_date(request: Request) -> None:
    request.answer(200, json.dumps({"status": "ok", "lastrun": request.dump}))


def echo_no_json(request: Request) -> None:
    request.answer(200, f"{request.dump} <b>is no JSON</b>")


def echo_page(request: Request) -> None:
    request.answer(500, f"<h1>{request.dump}</h1>", X_Error=request.dump)


def echo_redirect(request: Request) -> None:
    request.answer(302, request.dump, Location=f"ftp://u:{_secrets_of(request)}@127.0.0.1/?{_secrets_of(request)}")


def echo_round(request: Request) -> None:
    request.answer(302, request.dump, Location=f"{request.path}?{_secrets_of(request)}")


def echo_encoded(request: Request) -> None:
    """Percent-encoded as JavaScript and Java do, and as JSON in HTML in JSON."""
    words = {"js": quote(request.dump, "!'()*"), "java": quote(request.dump, "*").replace("%20", "+")}
    request.answer(200, json.dumps({**words, "page": f"<p>{escape(json.dumps(request.dump))}</p>"}))


def echo_garbage(request: Request) -> None:
    request.write(f"{_secrets_of(request)} {request.dump}\r\n\r\n".encode())
    request.close()


def echo_header(request: Request) -> None:
    request.write(f"HTTP/1.1 200 {_secrets_of(request)}\r\nContent-Length: {_secrets_of(request)}\r\n\r\n".encode())
    request.close()


def _secrets_of(request: Request) -> str:
    return "".join(re.findall(r"[?=].*$", request.target)) + request.headers.get("x-auth-token", "")


ECHOES = {
    "/failed": echo_failed,
    "/invalid": echo_invalid,
    "/bad-member": echo_bad_member,
    "/bad-date": echo_bad_date,
    "/no-json": echo_no_json,
    "/page": echo_page,
    "/redirect": echo_redirect,
    "/round": echo_round,
    "/encoded": echo_encoded,
    "/garbage": echo_garbage,
    "/header": echo_header,
    "/refused": raw(),
}


class SecretTests(TestCase):
    timeout = 300

    def tasks(self, endpoints: Endpoints) -> list[str]:
        """A URL with secrets in userinfo and query for each echo."""
        endpoints.paths.update(ECHOES)
        place = endpoints.origin.partition("://")[2]
        urls = []
        for path in ECHOES:
            word = path.strip("/")
            urls.append(
                f"http://user:{MARK}pw{word}%40%3A@{place}{path}?key={MARK}query{word}%2F%2B&other={MARK}another"
            )
        # A task without userinfo: the token's header is its only credential.
        urls.append(f"{endpoints.origin}/failed?{MARK}bare")
        return urls

    async def assert_clean(self, daemon: Daemon, urls: Iterable[str], *marks: str) -> None:
        """No mark is in the log or on a page. JSON has the configured URLs, without userinfo."""
        overview = (await daemon.get()).json()
        for task, url in zip(overview["data"], urls, strict=True):
            self.assertEqual(task.pop("url"), re.sub("//[^/]*@", "//", url))
            self.assertEqual(task["status"], "error")
            # A URL is shown without its query; what a report says of itself is the name otherwise.
            if task["process"] is None:
                self.assertEqual(task["name"].count("?"), 1)
        shown = [json.dumps(overview), (await daemon.get("/status")).body.decode()]
        for task in overview["data"]:
            one = (await daemon.get(f"/task/{task['id']}")).json()["data"]
            del one["url"]
            shown.append(json.dumps(one))
        for target in ("/", "/status", *(f"/task/{task['id']}" for task in overview["data"])):
            page = await daemon.get(target, headers=["Accept: text/html"])
            shown.append(page.body.decode() + str(page.headers))
        for mark in marks:
            for text in (*shown, daemon.log):
                found = re.search(f".{{0,200}}{re.escape(mark)}.{{0,80}}", text)
                self.assertIsNone(found, found and found.group())

    def assert_not_sent(self, bodies: bytes, *marks: str) -> None:
        for mark in marks:
            found = re.search(b".{0,200}" + re.escape(mark.encode()) + b".{0,80}", bodies)
            self.assertIsNone(found, found and found.group())

    async def test_login_and_web_api(self) -> None:
        endpoints, slack, hipchat, sentry = Endpoints(self), SlackWebApi(self), HipChat(self), Sentry(self)
        urls = self.tasks(endpoints)
        token = f"{MARK}slack-token"
        # Each refuses some alerts permanently and some temporarily, and echoes what it received.
        slack.next.extend(
            [
                lambda r: r.answer(200, json.dumps({"ok": False, "error": "invalid_auth", "needed": r.dump})),
                lambda r: r.answer(200, json.dumps({"ok": False, "error": r.headers["authorization"]})),
                lambda r: r.answer(500, r.dump, Retry_After="0"),
            ]
        )
        hipchat.next.extend(
            [
                lambda r: r.answer(401, json.dumps({"error": {"message": r.dump}})),
                lambda r: r.answer(503, json.dumps({"error": r.headers["authorization"]})),
            ]
        )
        sentry.next.extend(
            [
                lambda r: r.answer(403, json.dumps({"detail": r.dump, "causes": [r.dump]})),
                lambda r: r.answer(500, b"", X_Sentry_Error=r.headers["x-sentry-auth"]),
            ]
        )
        login = Endpoints(self)
        login.paths["/login"] = lambda r: r.answer(200, json.dumps({"auth_token": f"{MARK}fetched-token"}))
        proxy = Endpoints(self)
        proxy.respond = lambda r: r.answer(407, r.dump)
        proxied = f"http://proxied.example.com/report?{MARK}proxied"
        more = (
            slack.section(token)
            + hipchat.section(f"{MARK}hipchat-auth")
            + sentry.section(DSN_KEY)
            + f"[task {proxied}]\nproxy = http://{MARK}proxyuser:{MARK}proxypw@127.0.0.1:{proxy.port}\n"
            + f"[token_auth]\nurl = http://u:{MARK}loginpw@127.0.0.1:{login.port}/login?{MARK}loginquery\n"
            + f"username = someone@example.com\npassword = {MARK}password\nheader = X-Auth-Token\n"
        )
        port = free_port()
        main = "interval = 1\nerror_interval = 2\ngroup_wait = 0\ndebug = true\ndebug_now = true"
        daemon = Daemon(self, ini(port, [*urls, proxied], main, more), port)
        await daemon.is_ready()
        await until(lambda: len(slack.requests) > 5 and len(hipchat.requests) > 12 and len(sentry.requests) > 12)
        # The endpoints received the secrets.
        sent = " ".join(request.dump for request in endpoints.requests)
        for word in ("fetched-token", "queryfailed"):
            self.assertIn(f"{MARK}{word}", sent)
        self.assertTrue(any("proxy-authorization" in request.headers for request in proxy.requests))
        self.assertIn(f"{MARK}password".encode(), login.bodies())
        await self.assert_clean(daemon, [*urls, proxied], MARK, DSN_KEY, *self.basics())
        await daemon.stop()
        self.assertIn("invalid_auth", daemon.log)
        await self.assert_log_clean(daemon)
        self.assert_not_sent(slack.bodies + hipchat.bodies, MARK, DSN_KEY, *self.basics())
        self.assert_not_sent(sentry.bodies, MARK, *self.basics())

    async def test_static_token_and_webhook(self) -> None:
        endpoints, slack = Endpoints(self), SlackWebhook(self)
        urls = self.tasks(endpoints)
        path = f"/services/{MARK}T0/{MARK}B0/{MARK}hook-with-24-letters?{MARK}hookquery"
        slack.next.extend(
            [
                lambda r: r.answer(403, r.dump),
                lambda r: r.answer(500, r.path),
                lambda r: r.answer(500, r.target),
                lambda r: r.answer(500, r.path.rpartition("/")[2]),
            ]
        )
        more = slack.section(path) + f"[token_auth]\ntoken = Bearer {MARK}static+/=\n"
        port = free_port()
        main = "interval = 1\nerror_interval = 2\ngroup_wait = 0\ndebug = 1"
        daemon = Daemon(self, ini(port, urls, main, more), port, environ={"PASSWORD": f"{MARK}env"})
        await daemon.is_ready()
        await until(lambda: len(slack.requests) > 4)
        self.assertIn(
            f"Bearer {MARK}static+/=", [request.headers["authorization"] for request in endpoints.asked("/failed")]
        )
        await self.assert_clean(daemon, urls, MARK, *self.basics())
        await daemon.stop()
        await self.assert_log_clean(daemon)
        self.assert_not_sent(slack.bodies, MARK, *self.basics())

    async def assert_log_clean(self, daemon: Daemon) -> None:
        for mark in (MARK, DSN_KEY, *self.basics()):
            self.assertNotIn(mark, daemon.log)

    def basics(self) -> list[str]:
        """The tasks' passwords as HTTP Basic encodes them."""
        return [base64.b64encode(f"user:{MARK}pw{path.strip('/')}@:".encode()).decode().rstrip("=") for path in ECHOES]
