"""What the control service serves over TCP: PACs, the CA, health.  Nothing here changes anything.

PACs are bytes made beforehand; who gets which is decided by the peer's address (never by a header) or a token.
"""

import re
from asyncio import BaseTransport
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from steering.control.openapi import OPENAPI
from steering.control.status import Status
from steering.pac.publish import PacFile, PacSet
from steering.policy.hosts import Address

PAC_TYPE = "application/x-ns-proxy-autoconfig"
PAC_MAX_AGE_S = 300
# WPAD clients ask for these too: Windows' DHCP appends a NUL to option 252, which macOS sends along.
PAC_PATHS = ("/proxy.pac", "/wpad.dat", "/wpad.dat\x00", "/wpad.da")
MAX_REQUEST_BYTES = 65536
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(slots=True, kw_only=True)
class Served:
    """What the handlers read; the service swaps the values.  pacs: None until a policy is enforced.

    files: path -> (body, content type, file name).  hosts: names under which the page and the API may be asked for.
    """

    status: Status
    group_of: Callable[[str], str | None]
    metrics: Callable[[], bytes]
    page: Callable[[], str]
    pacs: PacSet | None = None
    files: Mapping[str, tuple[bytes, str, str]]
    hosts: frozenset[str]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(served: Served) -> web.Application:
    app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[_secured()])

    async def anything(request: web.Request) -> web.StreamResponse:
        return _answer(served, request)

    app.router.add_route("*", "/{path:.*}", anything)
    return app


def _secured() -> Middleware:
    @web.middleware
    async def secured(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD"}
            response: web.StreamResponse = web.Response(status=405, text="only GET and HEAD\n", headers=allow)
        else:
            response = await handler(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    return secured


def _answer(served: Served, request: web.Request) -> web.Response:
    path = request.path
    if path in PAC_PATHS:
        return _pac(request, served.pacs.for_address(peer_address(request)) if served.pacs else None)
    if path.startswith("/p/") and path.endswith("/proxy.pac"):
        group = served.group_of(path[3 : -len("/proxy.pac")])
        found = served.pacs.for_group(group) if served.pacs and group else None
        return _pac(request, found, known=served.pacs is None)
    if path in served.files:
        body, kind, name = served.files[path]
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "max-age=300"}
        return web.Response(body=body, content_type=kind, headers=headers)
    if path == "/healthz":
        return web.json_response({"status": "ok"})
    if path == "/readyz":
        return web.json_response(served.status.ready, status=200 if served.pacs else 503)
    # Beyond this line a page in somebody's browser could ask by a name that it had pointed here (DNS rebinding).
    if _host(request) not in served.hosts and _host(request) != _own_address(request):
        return web.Response(status=421, text="not a name of this service\n")
    if path == "/metrics":
        return web.Response(body=served.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})
    if path == "/api/v1/openapi.json":
        return web.json_response(OPENAPI)
    if path == "/api/v1/status":
        return web.json_response(served.status.ready)
    if path == "/":
        return web.Response(text=served.page(), content_type="text/html", headers={"Cache-Control": "no-store"})
    return web.Response(status=404, text="there is nothing here\n")


def _pac(request: web.Request, pac: PacFile | None, *, known: bool = True) -> web.Response:
    """known: whether there will be one here once a policy is enforced."""
    if pac is None:
        status = 503 if known else 404
        return web.Response(status=status, text="no policy is enforced yet\n" if known else "there is nothing here\n")
    asked = asked_of(request.headers.get("Accept-Encoding", ""), request.headers.get("If-None-Match", ""))
    status, headers, body = form_of(pac, asked)
    return web.Response(status=status, headers=headers, body=body or None)


@dataclass(frozen=True, slots=True)
class Asked:
    """In which form a PAC is asked for.  tags: of those that the client has."""

    zipped: bool
    tags: frozenset[str]


def asked_of(accept_encoding: str, if_none_match: str) -> Asked:
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return Asked(takes_gzip(accept_encoding), frozenset(filter(None, tags)))


def form_of(pac: PacFile, asked: Asked) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    etag = tag_of(pac, asked.zipped)
    headers = {"ETag": etag, "Cache-Control": f"private, max-age={PAC_MAX_AGE_S}", "Vary": "Accept-Encoding"}
    if asked.tags & {etag, "*"}:
        return 304, headers, b""
    headers["Content-Type"] = PAC_TYPE
    if asked.zipped:
        headers["Content-Encoding"] = "gzip"
    return 200, headers, pac.gzip if asked.zipped else pac.body


def tag_of(pac: PacFile, zipped: bool) -> str:
    """RFC 9110 8.8.3: other bytes, another strong tag."""
    return f'{pac.etag[:-1]}-gzip"' if zipped else pac.etag


def takes_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip, and not with ``q=0``."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _host(request: web.Request) -> str:
    """The name in Host: lower case, without port and brackets."""
    host = request.host.lower()
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]")


def _own_address(request: web.Request) -> str | None:
    """The address that the connection came to: who asks for it by that has been pointed here by nobody."""
    own = request.transport.get_extra_info("sockname") if request.transport else None
    return str(own[0]) if own else None


def peer_address(request: web.Request) -> Address:
    """The address that the connection comes from; what headers say of it is not believed."""
    return address_of(request.transport)


def address_of(transport: BaseTransport | None) -> Address:
    peer = transport.get_extra_info("peername") if transport else None
    address = ip_address(str(peer[0]).partition("%")[0]) if peer else ip_address("0.0.0.0")  # noqa: S104
    return getattr(address, "ipv4_mapped", None) or address
