"""TLS: trust, the words for refused certificates, sessions and files."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import ContextFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from pypinger.domain.model import Answer, Fault, NoAnswer
from pypinger.http.fetcher import TaskFetcher
from pypinger.http.wire import certificates, tls
from pypinger.http.wire.certificates import refusal, service_id
from pypinger.http.wire.errors import ExchangeFailed
from tests.http.faults import REPORT, SHORT, answer, bare
from tests.http.faultserver import AT_ONCE, CLOSE, RESET, STALL, FaultServer, Script, Trickle, Wait
from tests.http.test_faults import task

GOOD_ANSWER = (answer(),)
CLOSE_NOTIFY = b"\x15\x03\x03\x00\x02\x01\x00"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

CA = trustme.CA(organization_name="Acme", organization_unit_name="Ops")
OTHER_CA = trustme.CA(organization_name="Evil", organization_unit_name="Corp")
GOOD = CA.issue_cert("localhost", "127.0.0.1")


class Server(ContextFactory):
    """A server context with a certificate."""

    pem = b""

    def __init__(self, certificate: trustme.LeafCert | None, **settings: Any) -> None:
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.set_session_id(b"tests")
        if certificate is not None:
            certificate.configure_cert(self.context)
        if settings.get("client_ca"):
            settings["client_ca"].configure_trust(self.context)
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: bool(args[-1]))
        if settings.get("version"):
            self.context.set_max_proto_version(settings["version"])
        self.names: list[bytes | None] = []
        self.context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))

    def getContext(self) -> SSL.Context:
        return self.context


def self_signed(name: str) -> Server:
    """Return a server with a self-signed certificate."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    server = Server(None)
    server.pem = certificate.public_bytes(serialization.Encoding.PEM)
    server.context.use_certificate(crypto.X509.from_cryptography(certificate))
    server.context.use_privatekey(crypto.PKey.from_cryptography_key(key))
    return server


def restore(name: str, value: str | None) -> None:
    """Put an environment variable back."""
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


class Certificates(TestCase):
    """Over real sockets."""

    def setUp(self) -> None:
        self.fetcher = TaskFetcher(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.fetcher.close()))
        self.ca_file = self.mktemp()
        CA.cert_pem.write_to_path(self.ca_file)

    def serve(self, context: Any, script: Script = GOOD_ANSWER) -> FaultServer:
        server = FaultServer(script)
        listening = server.listen(context)
        self.addCleanup(listening.stopListening)
        return server

    async def check(self, context: Any, host: str = "localhost", script: Script = GOOD_ANSWER, **more: Any) -> Any:
        server = self.serve(context, script)
        more.setdefault("ca_file", self.ca_file)
        found = await self.fetcher.fetch(task(f"https://{host}:{server.port}/", **more))
        if isinstance(found, NoAnswer):
            await server.all_closed()
            pool = self.fetcher.network.pool
            self.assertEqual(pool.idle, len(pool))
        return found

    async def refused(self, words: str, context: Any, *args: Any, **more: Any) -> None:
        found = await self.check(context, *args, **more)
        self.assertIsInstance(found, NoAnswer)
        self.assertEqual((Fault.TLS, True), (found.fault, words in found.words), found)

    async def test_name(self) -> None:
        server = Server(GOOD)
        found = await self.check(server)
        self.assertEqual(Answer, type(found), found)
        self.assertEqual([b"localhost"], server.names)

    async def test_address(self) -> None:
        server = Server(GOOD)
        self.assertEqual(Answer, type(await self.check(server, "127.0.0.1")))
        self.assertEqual([None], server.names)

    async def test_trailing_dot(self) -> None:
        self.assertEqual(Answer, type(await self.check(Server(GOOD), "localhost.")))
        self.assertEqual(Answer, type(await self.check(Server(GOOD))))

    async def test_expired(self) -> None:
        leaf = CA.issue_cert(
            "localhost", not_before=datetime.datetime(2026, 1, 1), not_after=datetime.datetime(2026, 1, 3)
        )
        await self.refused("certificate expired on 2026-01-03", Server(leaf))

    async def test_not_yet_valid(self) -> None:
        start = NOW + 9 * DAY
        leaf = CA.issue_cert("localhost", not_before=start, not_after=NOW + 99 * DAY)
        await self.refused(f"certificate is not valid before {start:%Y-%m-%d}", Server(leaf))

    async def test_another_name(self) -> None:
        leaf = CA.issue_cert("a.example", "b.example", "c.example", "d.example")
        await self.refused("for a.example, b.example, c.example and 1 more, not for localhost", Server(leaf))

    async def test_another_address(self) -> None:
        await self.refused(
            "certificate is for 10.0.0.7, not for 127.0.0.1", Server(CA.issue_cert("10.0.0.7")), "127.0.0.1"
        )

    async def test_unknown_authority(self) -> None:
        await self.refused("issued by an unknown authority (Evil)", Server(OTHER_CA.issue_cert("localhost")))

    async def test_private_ca_of_another_task(self) -> None:
        """A task does not use the trust of another, nor its connections."""
        server = self.serve(Server(GOOD))
        url = f"https://localhost:{server.port}/"
        self.assertEqual(Answer, type(await self.fetcher.fetch(task(url, ca_file=self.ca_file))))
        found = await self.fetcher.fetch(task(url))
        self.assertEqual(Fault.TLS, found.fault)
        self.assertEqual(2, server.connections)

    async def test_self_signed(self) -> None:
        await self.refused("certificate is self-signed", self_signed("localhost"))

    async def test_self_signed_but_trusted(self) -> None:
        """``ca_file`` can hold the server's own certificate."""
        context, own = self_signed("localhost"), self.mktemp()
        Path(own).write_bytes(context.pem)
        self.assertEqual(Answer, type(await self.check(context, ca_file=own)))

    async def test_system_trust_too(self) -> None:
        """``ca_file`` adds to the system's trust and does not replace it."""
        other = self.mktemp()
        OTHER_CA.cert_pem.write_to_path(other)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = other
        self.addCleanup(restore, "SSL_CERT_FILE", before)
        for authority in (CA, OTHER_CA):
            self.assertEqual(Answer, type(await self.check(Server(authority.issue_cert("localhost")))))

    async def test_no_names(self) -> None:
        leaf = CA.issue_cert(common_name="localhost")
        await self.refused("names no host", Server(leaf))

    async def test_old_version(self) -> None:
        server = Server(GOOD, version=SSL.TLS1_1_VERSION)
        await self.refused("the TLS handshake failed", server)

    async def test_no_certificate(self) -> None:
        await self.refused("the TLS handshake failed", Server(None))

    async def test_tls_1_2(self) -> None:
        self.assertEqual(Answer, type(await self.check(Server(GOOD, version=SSL.TLS1_2_VERSION))))

    async def test_plain_http(self) -> None:
        await self.refused("does not speak TLS on this port", None, script=[AT_ONCE, answer()])

    async def test_noise(self) -> None:
        await self.refused("the TLS handshake failed", None, script=[AT_ONCE, bytes(range(256)) * 9])

    async def test_alert(self) -> None:
        await self.refused("handshake failed: ", None, script=[AT_ONCE, b"\x15\x03\x03\x00\x02\x02\x28"])

    async def test_close_in_handshake(self) -> None:
        await self.refused("closed the connection in the TLS handshake", None, script=[AT_ONCE, CLOSE])

    async def test_close_notify_in_handshake(self) -> None:
        """It logs no error: trial would fail the test."""
        for script in ([AT_ONCE, CLOSE_NOTIFY], [AT_ONCE, CLOSE_NOTIFY, CLOSE], [Wait(0.01), CLOSE_NOTIFY]):
            await self.refused("closed the connection in the TLS handshake", None, script=[AT_ONCE, *script])

    async def test_reset_in_handshake(self) -> None:
        await self.refused("closed the connection in the TLS handshake", None, script=[AT_ONCE, RESET])

    async def test_close_in_a_record(self) -> None:
        await self.refused("in the TLS handshake", None, script=[AT_ONCE, b"\x16\x03\x03\x00\x40\x02", CLOSE])

    async def test_stall_in_handshake(self) -> None:
        for script in ([AT_ONCE, STALL], [AT_ONCE, Trickle(b"\x16\x03\x03\x40\x00\x02" + bytes(99))]):
            found = await self.check(None, script=script, timeout=SHORT)
            self.assertEqual(Fault.TIMEOUT, found.fault)
            self.assertIn("still in the TLS handshake with localhost", found.words)

    async def test_stall_after_handshake(self) -> None:
        found = await self.check(Server(GOOD), script=[bare()[:9]], timeout=SHORT)
        self.assertEqual(Fault.TIMEOUT, found.fault)

    async def test_body_until_close(self) -> None:
        found = await self.check(Server(GOOD), script=[bare() + REPORT, CLOSE])
        self.assertEqual(REPORT, found.body)

    async def test_body_until_abort(self) -> None:
        """Many servers end TLS without close_notify."""
        found = await self.check(Server(GOOD), script=[bare() + REPORT, RESET])
        self.assertEqual(REPORT, found.body)

    async def test_body_cut_off(self) -> None:
        found = await self.check(Server(GOOD), script=[answer(b"abc", length=9), CLOSE])
        self.assertEqual((Fault.BROKEN, True), (found.fault, "after 3 of 9 bytes" in found.words))

    async def test_too_large(self) -> None:
        found = await self.check(Server(GOOD), script=[answer(b"x" * 99_999)])
        self.assertEqual(Fault.TOO_LARGE, found.fault)

    async def test_not_kept(self) -> None:
        found = await self.check(Server(GOOD), script=[answer(REPORT, b"Connection: close")])
        self.assertEqual(REPORT, found.body)
        while len(self.fetcher.network.pool):
            waiter: Deferred[None] = Deferred()
            reactor.callLater(0.01, waiter.callback, None)
            await waiter

    async def test_kept_and_resumed(self) -> None:
        """A kept connection is reused; a new one resumes the session of the one before."""
        judged: list[int] = []

        def judge(*args: Any) -> str | None:
            judged.append(1)
            return refusal(*args)

        self.patch(tls, "refusal", judge)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            context = Server(GOOD, version=version)
            server = self.serve(context)
            asked = task(f"https://localhost:{server.port}/", ca_file=self.ca_file)
            for _ in range(3):
                self.assertEqual(Answer, type(await self.fetcher.fetch(asked)))
            self.assertEqual(1, server.connections)
            seen = len(judged)
            self.assertGreater(seen, 0)
            for transport in [connection.transport for connection in server.open]:
                transport.loseConnection()
            await server.all_closed()
            self.assertEqual(Answer, type(await self.fetcher.fetch(asked)))
            self.assertEqual(2, server.connections)
            # A resumed session shows no certificate.
            self.assertEqual(seen, len(judged))

    async def test_client_certificate(self) -> None:
        client = CA.issue_cert("client@example.org")
        both, cert, key = self.mktemp(), self.mktemp(), self.mktemp()
        client.private_key_and_cert_chain_pem.write_to_path(both)
        client.cert_chain_pems[0].write_to_path(cert)
        client.private_key_pem.write_to_path(key)
        wanting = Server(GOOD, client_ca=CA)
        for setting in ({"client_cert": both}, {"client_cert": cert, "client_key": key}):
            self.assertEqual(Answer, type(await self.check(wanting, **setting)), setting)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            await self.refused("certificate", Server(GOOD, client_ca=CA, version=version))

    async def test_bad_files(self) -> None:
        client = CA.issue_cert("client@example.org")
        cert, key, noise = self.mktemp(), self.mktemp(), self.mktemp()
        client.cert_chain_pems[0].write_to_path(cert)
        OTHER_CA.issue_cert("x.example").private_key_pem.write_to_path(key)
        Path(noise).write_text("hello")
        encrypted = self.mktemp()
        secret = crypto.load_privatekey(crypto.FILETYPE_PEM, client.private_key_pem.bytes())
        Path(encrypted).write_bytes(crypto.dump_privatekey(crypto.FILETYPE_PEM, secret, "aes256", b"passphrase"))
        for words, setting in (
            ("cannot read /nowhere/ca.pem: No such file", {"ca_file": "/nowhere/ca.pem"}),
            (f"ca_file {noise} holds no valid PEM", {"ca_file": noise}),
            (f"client_cert {noise} holds no valid PEM", {"client_cert": noise}),
            (f"{cert} holds no unencrypted PEM key", {"client_cert": cert}),
            (f"{key} holds no unencrypted PEM key that fits", {"client_cert": cert, "client_key": key}),
            (f"{encrypted} holds no unencrypted PEM key", {"client_cert": cert, "client_key": encrypted}),
        ):
            await self.refused(words, Server(GOOD), **setting)

    async def test_no_descriptors(self) -> None:
        """Without descriptors the system's trust cannot be read, which is our own fault."""

        def cannot(*args: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        server = self.serve(Server(GOOD))
        asked = task(f"https://localhost:{server.port}/", ca_file=self.ca_file)
        real = os.open
        os.open = cannot  # type: ignore[assignment]
        try:
            running = Deferred.fromCoroutine(self.fetcher.fetch(asked))
        finally:
            os.open = real
        found = await running
        self.assertEqual((Fault.OWN, True), (found.fault, "Too many open files" in found.words))
        self.assertEqual(Answer, type(await self.fetcher.fetch(asked)))

    async def test_dead_connection(self) -> None:
        """A kept connection whose TLS fails before the answer is replaced by a new one."""
        server = self.serve(Server(GOOD))
        asked = task(f"https://localhost:{server.port}/", ca_file=self.ca_file)
        await self.fetcher.fetch(asked)
        server.script = [b"x"]
        (connection,) = server.open
        running = Deferred.fromCoroutine(self.fetcher.fetch(asked))
        connection.transport.transport.write(b"\x15\x03\x03\x00\x02\x02\x28")
        server.script = [answer()]
        self.assertEqual(REPORT, getattr(await running, "body", None))
        self.assertEqual(2, server.connections)

    async def test_renewed_file(self) -> None:
        """A changed file is read again."""
        Path(self.ca_file).write_text("broken")
        server = self.serve(Server(GOOD))
        asked = task(f"https://localhost:{server.port}/", ca_file=self.ca_file)
        self.assertEqual(Fault.TLS, (await self.fetcher.fetch(asked)).fault)
        CA.cert_pem.write_to_path(self.ca_file)
        self.assertEqual(Answer, type(await self.fetcher.fetch(asked)))


class Sessions(SynchronousTestCase):
    """With a fake clock."""

    def test_expiry(self) -> None:
        """A resumed session shows no certificate, so none is resumed after ten minutes."""
        clock = Clock()
        client = tls.TlsClient(clock, tls.Contexts(), tls.TrustSetting(), "a.example", is_ip=False)
        client.load()
        given: list[object] = []
        self.patch(SSL.Connection, "set_session", lambda connection, session: given.append(session))

        class Transport:
            handle: object = None

            def getHandle(self) -> object:
                return self.handle

            def get_session(self) -> object:
                return self.session

            session: object = None

        transport = Transport()
        client.remember(transport)  # type: ignore[arg-type]
        transport.handle = transport
        client.remember(transport)  # type: ignore[arg-type]
        client.clientConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertEqual([], given)
        transport.session = "first"
        client.remember(transport)  # type: ignore[arg-type]
        clock.advance(599)
        transport.session = "second"
        client.remember(transport)  # type: ignore[arg-type]
        client.clientConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertEqual(["second"], given)
        clock.advance(1)
        client.clientConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertEqual(["second"], given)

    def test_no_certificate_for_it(self) -> None:
        """A name that DNS allows and no certificate can have."""
        with self.assertRaises(ExchangeFailed) as raised:
            service_id("a~b.example", is_ip=False)
        self.assertEqual(Fault.URL, raised.exception.fault)

    def test_many_names(self) -> None:
        issuerless = crypto.load_certificate(crypto.FILETYPE_PEM, GOOD.cert_chain_pems[0].bytes()).to_cryptography()
        self.patch(certificates, "_ISSUER_NAMES", ())
        self.assertEqual("certificate was issued by an unknown authority", certificates._refused(issuerless, 20, 0))


class Refusals(TestCase):
    """Cases that a server cannot produce."""

    def setUp(self) -> None:
        pem = GOOD.cert_chain_pems[0].bytes()
        self.certificate = crypto.load_certificate(crypto.FILETYPE_PEM, pem)

    def test_words(self) -> None:
        service = service_id("localhost", is_ip=False)
        for error, depth, words in (
            (23, 0, "certificate is revoked"),
            (22, 1, "certificate of its issuer comes with too long a chain"),
            (999, 0, "certificate is not accepted (OpenSSL error 999)"),
        ):
            self.assertEqual(words, refusal(self.certificate, error, depth, False, service))
        self.assertIsNone(refusal(self.certificate, 0, 1, True, service))

    def test_never_raises(self) -> None:
        """OpenSSL calls this from C, where an exception would be lost."""
        service = service_id("localhost", is_ip=False)
        self.assertEqual("the server's certificate cannot be read", refusal(None, 0, 0, True, service))  # type: ignore[arg-type]
        self.assertEqual(1, len(self.flushLoggedErrors(AttributeError)))
