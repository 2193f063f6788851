"""The control service's HTTP in this process, and what the points of a running service do."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from steering.control.cafiles import files_of, load_ca
from steering.control.listening import Role
from steering.control.metrics import metrics_of
from steering.control.pac_front import serving_pacs
from steering.control.page import render_page
from steering.control.policystore import Enforced, enforceable
from steering.control.status import Status
from steering.control.tokens import Tokens
from steering.control.web import Served, make_app
from steering.pac.publish import PacSettings
from steering.policy import ReservedSettings
from steering.policy.rules import NO_CATEGORIES
from tests.service import RULES, Settings, World, rules_text


def enforced_of(rules: Sequence[Any] = RULES, *, at: float | None = None, **top: object) -> Enforced:
    return enforceable(
        rules_text(rules, **top),
        shown="/etc/steering/rules.json",
        categories=NO_CATEGORIES,
        reserved=ReservedSettings(internal_networks=()),
        pac=PacSettings(inspectors=("proxy.example:3128",)),
        at=time.time() if at is None else at,
    )


@dataclass(kw_only=True)
class WebRig:
    """port_behind: where aiohttp is asked directly, without what stands in front of it for PACs."""

    served: Served
    tokens: Tokens
    status: Status
    url: str
    port: int
    port_behind: int


@asynccontextmanager
async def web_rig(folder: Path, enforced: Enforced | None = None) -> AsyncIterator[WebRig]:
    status = Status(state="ok", revision="r1") if enforced else Status()
    store, missed = load_ca(folder)
    assert not missed
    tokens = Tokens.load(folder / "tokens.json")
    served = Served(
        status=status,
        group_of=tokens.group_of,
        metrics=metrics_of(lambda: {"dns:inspector:default": 3, "inspector:connections": 2}, status),
        page=lambda: render_page(status, "http://steering.example"),
        files=files_of(store, time.time()),
        hosts=frozenset({"steering.example", "127.0.0.1", "localhost", "::1"}),
        pacs=enforced.pacs if enforced else None,
    )
    runner = web.AppRunner(make_app(served), access_log=None)
    await runner.setup()
    assert runner.server is not None
    with socket.create_server(("127.0.0.1", 0)) as sock, socket.create_server(("127.0.0.1", 0)) as behind:
        port = sock.getsockname()[1]
        rig = WebRig(
            served=served,
            tokens=tokens,
            status=status,
            url=f"http://127.0.0.1:{port}",
            port=port,
            port_behind=behind.getsockname()[1],
        )
        await web.SockSite(runner, behind).start()
        try:
            async with serving_pacs(served, runner.server, sock):
                yield rig
        finally:
            await runner.cleanup()


# What the points of a running service do now.

OPENED, TUNNELLED = "Steering inspection CA", "test origins"
STEERED = "127.0.0.9"  # what names resolve to that are not bypassed; not where the origins are
SETTINGS: Settings = {"dns": {"inspector_addresses": [STEERED]}}


async def dns_answer(at: World, name: str) -> list[str]:
    """The addresses that the resolver gives."""
    query = dns.message.make_query(name, "A")
    reply = await dns.asyncquery.udp(query, "127.0.0.1", port=at.service.dns_port, timeout=20)
    return [record.to_text() for rrset in reply.answer for record in rrset]


async def connect(at: World, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """A connection to the TLS origin by CONNECT: with whose certificate, or with which code it was refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.service.port(Role.EXPLICIT))
    authority = f"{host}:{at.origin.port}"
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    code = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
    if code != "200":
        return reader, writer, code
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await writer.start_tls(context, server_hostname=host)
    certificate = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    (name,) = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return reader, writer, str(name.value)


async def inspector_does(at: World, host: str) -> str:
    _, writer, what = await connect(at, host)
    writer.transport.abort()
    return what


async def points_do(at: World, host: str) -> tuple[bool, list[str], str]:
    """Whether the PAC names the host, the resolver's answer, and the certificate that the inspector shows."""
    pac = await asyncio.to_thread(at.service.pac)
    return host in pac, await dns_answer(at, host), await inspector_does(at, host)


BYPASSED = (True, ["127.0.0.1"], TUNNELLED)
INSPECTED = (False, [STEERED], OPENED)
