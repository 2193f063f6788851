"""One worker process: ``python -m steering.control.worker FD``, started by the supervisor with its sockets.

It runs the resolver and the inspector on one event loop, takes policies from its parent piece by piece, and ends
when told to, or when the parent is gone.
"""

import asyncio
import gc
import json
import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering.control.channel import Channel, Kind
from steering.control.device_authority import ServerIdentity
from steering.control.endpoint_tls import EndpointTls
from steering.control.listening import Role
from steering.control.points import Points, leaves_of, start_points
from steering.policy.live import Live
from steering.policy.transfer import Assembler, remains
from steering.process.accesslog import AccessLog, as_json, as_text
from steering.process.logs import configure_logs, logger
from steering.process.loop import run
from steering_dns.settings import DnsSettings
from steering_inspector.authority import Authority
from steering_inspector.settings import InspectorSettings

REPORT_S = 2.0
FADE_S = 0.002  # between two steps of letting an old policy go
ORPHAN_DRAIN_S = 2.0  # whoever starts the service again waits for the ports so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker is told at its start.  descriptors: per role, of inherited sockets."""

    number: int
    dns: DnsSettings
    inspector: InspectorSettings
    trust: tuple[Path, ...]
    crl_url: str
    descriptors: Mapping[Role, tuple[int, ...]]
    log_format: str
    access_log: str


class Worker:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._setup: Setup | None = None
        self._authority: Authority | None = None
        self._endpoint_tls: EndpointTls | None = None
        self._dns_identity: ServerIdentity | None = None
        self._revoked: frozenset[str] = frozenset()
        self._assembler = Assembler()
        self._live: Live | None = None
        self._fading: asyncio.Task[None] | None = None  # held, or it may never run
        self._points: Points | None = None
        self._sink: AccessLog | None = None
        self._log = logger("worker")

    async def run(self) -> None:
        """Serve until the parent says drain, or ends."""
        reporting = asyncio.create_task(self._report_often())
        drain_s = ORPHAN_DRAIN_S
        try:
            while True:
                kind, body = await self._channel.receive()
                if kind is Kind.DRAIN:
                    drain_s = float(body)
                    break
                await self._take(kind, body)
        except EOFError:
            self._log.warning("the parent is gone, draining")
        reporting.cancel()
        if self._points is not None:
            await self._points.drain(drain_s)
        if self._sink is not None:
            self._sink.close()

    async def _take(self, kind: Kind, body: bytes) -> None:
        match kind:
            case Kind.SETUP:
                self._begin(pickle.loads(body))  # noqa: S301  # from our own parent (channel)
            case Kind.AUTHORITY:
                self._authority = load_authority(body)
                if self._points is not None and self._setup is not None:
                    self._points.inspector.replace_leaves(leaves_of(self._authority, self._setup.crl_url))
            case Kind.ENDPOINT_TLS:
                self._endpoint_tls = pickle.loads(body)  # noqa: S301  # from our own parent (channel)
                if self._points is not None:
                    self._points.show_helpers(self._endpoint_tls)
            case Kind.DNS_TLS:
                self._dns_identity = pickle.loads(body)  # noqa: S301  # from our own parent (channel)
                if self._points is not None:
                    self._points.show_resolver(self._dns_identity)
            case Kind.REVOKED:
                self._revoked = frozenset(map(str, json.loads(body)))
                if self._points is not None:
                    self._points.replace_revoked(self._revoked)
            case Kind.PIECE:
                if gc.isenabled():
                    gc.collect(1)  # so that little of what is no longer used is frozen below
                gc.disable()  # one walk over a policy that is half there takes longer than a question may
                policy = self._assembler.feed(body)
                if policy is None:
                    await asyncio.sleep(0)  # between two pieces, what waits is answered
                    return
                if self._live is None:
                    self._live = Live(policy)
                    await self._start()
                else:
                    old = remains(self._live.policy)
                    next(old, None)
                    self._live.swap(policy)
                    gc.freeze()  # the connections of now too: they go by reference counts all the same
                    self._fading = asyncio.create_task(_fade(old))
                gc.enable()
                await self._channel.report(revision=policy.revision)

    def _begin(self, setup: Setup) -> None:
        self._setup = setup
        configure_logs(setup.log_format)
        form = as_json if setup.log_format == "json" else as_text
        self._sink = AccessLog(setup.access_log, form)

    async def _start(self) -> None:
        setup, live, sink = self._setup, self._live, self._sink
        assert setup is not None and live is not None and sink is not None, "the setup comes before the policy"
        sockets = {role: [socket.socket(fileno=fd) for fd in fds] for role, fds in setup.descriptors.items()}
        self._points = await start_points(
            dns=setup.dns,
            inspector=setup.inspector,
            trust=setup.trust,
            sockets=sockets,
            live=live,
            authority=self._authority,
            crl_url=setup.crl_url,
            sink=sink,
            endpoint_tls=self._endpoint_tls,
            revoked=self._revoked,
            dns_identity=self._dns_identity,
        )
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it again
        # Connections come and go by reference counts (tests/inspector/test_server.py); cycles are few, and looked for
        # that much more seldom.
        gc.set_threshold(10_000, 20, 20)

    async def _report_often(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            if self._points is not None and self._sink is not None:
                counters = self._points.counters() | {"log": {"dropped": self._sink.dropped}}
                await self._channel.report(counters=counters)


async def _fade(old: Iterator[None]) -> None:
    for _ in old:
        await asyncio.sleep(FADE_S)


def dump_authority(authority: Authority | None) -> bytes:
    """For the channel; empty for None."""
    if authority is None:
        return b""
    key = authority.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pickle.dumps((key, authority.certificate.public_bytes(serialization.Encoding.DER)))


def load_authority(body: bytes) -> Authority | None:
    if not body:
        return None
    key_der, certificate_der = pickle.loads(body)  # noqa: S301  # from our own parent (channel)
    key = serialization.load_der_private_key(key_der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(x509.load_der_x509_certificate(certificate_der), key)


async def _main(descriptor: int) -> None:
    channel = await Channel.over(socket.socket(fileno=descriptor))
    await Worker(channel).run()
    channel.close()


def main() -> None:
    # A terminal's Ctrl-C reaches the whole group; the parent decides and drains us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    descriptor = int(sys.argv[1])
    run(_main(descriptor))


if __name__ == "__main__":
    main()
