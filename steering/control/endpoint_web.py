"""What helpers ask of the control service, over TLS: to be let in, and then, known by their certificate, the rest.

Only ``/enrol`` and ``/authority`` are for those who show no certificate.  Who shows one that the device CA did not
issue does not get through the handshake; who was revoked, or is not known here, is refused at each request.
"""

import asyncio
import contextlib
import json
import resource
import secrets
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NoReturn, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steering.control.bundles import BundleRepository
from steering.control.device_authority import CsrRefused, DeviceAuthority, key_of_csr
from steering.control.devices import Device, Devices, Report
from steering.control.enrolment import Attempts, Invitations, TokenRefused
from steering.control.errors import StateError
from steering.control.hints import Hints
from steering.control.web import peer_address, takes_gzip
from steering.process.logs import logger

MAX_REQUEST_BYTES = 32_768
MAX_CONNECTIONS = 20_000
HANDSHAKE_S, BODY_S, KEEP_ALIVE_S = 10.0, 10.0, 75.0
EVENT_KEEP_ALIVE_S, WRITE_S = 20.0, 20.0
CONNECTIONS_EACH = 3  # of a helper: hints, bundles, heartbeats
PIECE_BYTES = 65_536
DRAIN_S = 2.0
OPEN = frozenset(("/authority", "/enrol"))  # to those without a certificate

log = logger("endpoint")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, kw_only=True)
class ForHelpers:
    """What the handlers work with.  url: what helpers call this service.  counted: event -> how often."""

    authority: DeviceAuthority
    devices: Devices
    invitations: Invitations
    attempts: Attempts
    repository: BundleRepository
    hints: Hints
    url: str
    clock: Callable[[], float]
    counted: dict[str, int]

    def count(self, what: str) -> None:
        self.counted[what] = self.counted.get(what, 0) + 1


class _Enrolment(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    token: str = Field(max_length=256)
    csr: str
    name: str = Field("", max_length=1024)
    system: str = Field("", max_length=1024)


class _Renewal(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    csr: str


class _Heartbeat(BaseModel):
    # A newer helper may say more.
    model_config = ConfigDict(extra="ignore", frozen=True)

    revision: str = Field("", max_length=256)
    version: str = Field("", max_length=256)
    error: str = Field("", max_length=4096)
    self_test: object = None
    drift: dict[str, object] = Field({}, max_length=64)
    counters: dict[str, object] = Field({}, max_length=256)


_Body = TypeVar("_Body", bound=BaseModel)


def make_endpoint_app(served: ForHelpers) -> web.Application:
    app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[_known(served)])
    app.add_routes(
        [
            web.get("/authority", partial(_authority, served)),
            web.post("/enrol", partial(_enrol, served)),
            web.post("/renew", partial(_renew, served)),
            web.post("/heartbeat", partial(_heartbeat, served)),
            web.get("/events", partial(_events, served), allow_head=False),
            web.get("/bundle/{name:.+}", partial(_bundle, served)),
        ]
    )

    async def let_go(_: web.Application) -> None:
        served.hints.close()

    app.on_shutdown.append(let_go)
    return app


@contextlib.asynccontextmanager
async def serving_helpers(app: web.Application, sock: socket.socket, context: ssl.SSLContext) -> AsyncIterator[None]:
    """Serve on a bound and listening socket.  Who connects and asks nothing is let go after ``KEEP_ALIVE_S``."""
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=DRAIN_S, handler_cancellation=True
    )
    await runner.setup()
    assert runner.server is not None, "the runner is set up"
    serving, most = runner.server, max_connections()

    def admitted() -> asyncio.Protocol:
        return serving() if len(serving.connections) < most else _TurnedAway()

    server = await asyncio.get_running_loop().create_server(
        admitted, sock=sock, ssl=context, ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=DRAIN_S
    )
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()


class _TurnedAway(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def max_connections() -> int:
    """Helpers may take half of this process' descriptors: it serves PACs and administration too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def may_keep(listening: int, most: int) -> bool:
    """Whether there is room for connections that wait for their next request, beside the streams of hints."""
    return listening * CONNECTIONS_EACH <= most


# Who asks


def _known(served: ForHelpers) -> Middleware:
    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN:
            _device_of(served, request)
        response = await handler(request)
        if not may_keep(len(served.hints), max_connections()):
            response.force_close()
        return response

    return known


def _device_of(served: ForHelpers, request: web.Request) -> Device:
    """Who asks, by the certificate that the handshake verified.  Refuses with 403."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    if not certificate:
        _refuse(served, 403, "this is for enrolled devices: show the device's certificate")
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    device = served.devices.get(names[0]) if len(names) == 1 else None
    if device is None:
        _refuse(served, 403, "this device is not known here: enrol it again", unknown=True)
    if device.revoked_at is not None:
        _refuse(served, 403, "this device has been revoked", revoked=True)
    # A connection may outlive the certificate that opened it, and so may a session of TLS 1.2.
    if _instant(str(certificate["notAfter"])) <= served.clock():
        _refuse(served, 403, "this device's certificate has expired: enrol it again")
    return device


@lru_cache(maxsize=1024)
def _instant(text: str) -> int:
    """Kept: reading it takes 20 us, and a helper asks for five files in a row."""
    return ssl.cert_time_to_seconds(text)


def _refuse(served: ForHelpers, status: int, error: str, **more: object) -> NoReturn:
    served.count(f"refused:{status}")
    kinds = {
        400: web.HTTPBadRequest,
        403: web.HTTPForbidden,
        408: web.HTTPRequestTimeout,
        429: web.HTTPTooManyRequests,
    }
    kind = kinds.get(status, web.HTTPInsufficientStorage)
    raise kind(text=json.dumps({"error": error} | more), content_type="application/json")


async def _body(served: ForHelpers, request: web.Request, kind: type[_Body]) -> _Body:
    """In time: anybody may begin a body, and who never ends it would keep a descriptor of ours."""
    try:
        async with asyncio.timeout(BODY_S):
            content = await request.read()
    except TimeoutError:
        _refuse(served, 408, f"the request did not come to its end within {BODY_S:.0f} s")
    try:
        return kind.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        _refuse(served, 400, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}")


def _key(served: ForHelpers, csr: str) -> ec.EllipticCurvePublicKey:
    try:
        return key_of_csr(csr)
    except CsrRefused as exc:
        _refuse(served, 400, str(exc))


# Letting in


async def _authority(served: ForHelpers, _: web.Request) -> web.StreamResponse:
    """The device CA, for who knows its hash already."""
    return web.Response(body=served.authority.pem, content_type="application/x-pem-file")


async def _enrol(served: ForHelpers, request: web.Request) -> web.StreamResponse:
    """Let a device in."""
    now, address = served.clock(), peer_address(request)
    if not served.attempts.may_try(address, now):
        _refuse(served, 429, "too many enrolments from this address have failed: wait some minutes")
    asked = await _body(served, request, _Enrolment)
    key = _key(served, asked.csr)
    try:
        device, certificate = await _admit(served, asked, key, now)
    except TokenRefused as exc:
        served.attempts.failed(address, now)
        log.warning("an enrolment was refused", address=str(address), name=asked.name[:64], why=str(exc))
        _refuse(served, 403, str(exc))
    except StateError as exc:
        log.error("a device could not be enrolled", error=str(exc))
        _refuse(served, 507, "the service cannot take another device now; its log says why")
    served.count("enrolled")
    log.info("a device has enrolled", device=device.device_id, name=device.name[:64], group=device.group)
    return web.json_response(
        {
            "device_id": device.device_id,
            "group": device.group,
            "certificate": _pem(certificate),
            "authority": served.authority.pem.decode("ascii"),
            "tuf_root": b64encode(served.repository.root).decode("ascii"),
            "url": served.url,
        }
    )


async def _admit(
    served: ForHelpers, asked: _Enrolment, key: ec.EllipticCurvePublicKey, now: float
) -> tuple[Device, x509.Certificate]:
    """Before a certificate leaves, it is on disk that a use of the token is gone, and that the device is known.

    Raises TokenRefused, StateError.
    """
    invitation = await served.invitations.spend(asked.token, now)
    device_id = secrets.token_hex(16)
    certificate = served.authority.issue_device(key, device_id, invitation.group, now)
    device = Device(
        device_id=device_id,
        group=invitation.group,
        name=asked.name,
        system=asked.system,
        enrolled_at=now,
        ends_at=certificate.not_valid_after_utc.timestamp(),
    )
    served.devices.add(device)
    await served.devices.keep()
    return device, certificate


async def _renew(served: ForHelpers, request: web.Request) -> web.StreamResponse:
    device = _device_of(served, request)
    key = _key(served, (await _body(served, request, _Renewal)).csr)
    certificate = served.authority.issue_device(key, device.device_id, device.group, served.clock())
    served.devices.renewed(device.device_id, certificate.not_valid_after_utc.timestamp())
    try:
        await served.devices.keep()
    except StateError as exc:  # what is lost with it is a date
        log.error("a renewal could not be kept", error=str(exc))
    served.count("renewed")
    return web.json_response({"certificate": _pem(certificate)})


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


# For devices


async def _heartbeat(served: ForHelpers, request: web.Request) -> web.StreamResponse:
    device = _device_of(served, request)
    said = await _body(served, request, _Heartbeat)
    address = str(peer_address(request))
    report = Report(
        revision=said.revision,
        version=said.version,
        error=said.error,
        self_test=said.self_test,
        drift=said.drift,
        counters=said.counters,
        address=address,
    )
    served.devices.heard(device.device_id, report, served.clock())
    served.count("heartbeats")
    return web.json_response({"revoked": False, "address": address})


async def _bundle(served: ForHelpers, request: web.Request) -> web.StreamResponse:
    file = served.repository.files.get(request.match_info["name"])
    if file is None:
        return web.json_response({"error": "there is nothing here"}, status=404)
    served.count("bundle_files")
    headers = {"Cache-Control": "no-cache", "Content-Type": "application/octet-stream"}
    body = file.body
    if file.gzip and takes_gzip(request.headers.get("Accept-Encoding", "")):
        body, headers["Content-Encoding"] = file.gzip, "gzip"
    if len(body) <= PIECE_BYTES:
        return web.Response(body=body, headers=headers)
    return await _in_pieces(request, body, headers)


async def _in_pieces(request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    """No faster than it is read: a thousand helpers that come at once must not have a thousand copies in our memory."""
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(body), PIECE_BYTES):
            try:
                async with asyncio.timeout(WRITE_S):
                    await response.write(body[start : start + PIECE_BYTES])
            except TimeoutError:
                response.force_close()
                break
    return response


async def _events(served: ForHelpers, request: web.Request) -> web.StreamResponse:
    """The revision now, and again whenever there is another; until the device is revoked or the service ends."""
    device = _device_of(served, request)
    if served.hints.is_full:
        return web.json_response({"error": "too many listen already: ask from time to time"}, status=503)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    with served.hints.listening(device.device_id) as listening:
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while not listening.closed:
                has_news = await listening.news(EVENT_KEEP_ALIVE_S)
                if listening.closed:
                    break
                event = f"event: revision\ndata: {json.dumps({'revision': served.hints.revision})}\n\n"
                async with asyncio.timeout(WRITE_S):
                    await response.write(event.encode() if has_news else b": alive\n\n")
    response.force_close()
    return response
