"""One connection of a local program: what it shows, what is decided, and where its bytes go from then on."""

import asyncio
import socket
from collections.abc import Sequence
from enum import Enum

from steering.endpoint.bundle.content import Bundle
from steering.endpoint.decide import Course, Shown, course_of
from steering.endpoint.identify.identity import Ends, Identity
from steering.endpoint.proxy import socks
from steering.endpoint.proxy.answers import ESTABLISHED, refusal
from steering.endpoint.proxy.body import body_of
from steering.endpoint.proxy.client import Client, ClientGone, Inside
from steering.endpoint.proxy.dial import DialError, addresses_of, connect
from steering.endpoint.proxy.inspector import Awaiting, InspectorUnreachable, Ready, read_answer
from steering.endpoint.proxy.onerequest import OneRequest
from steering.endpoint.proxy.own import own_answer
from steering.endpoint.proxy.relayed import UNREACHABLE, Line, Relayed, report
from steering.endpoint.proxy.request import (
    HTTP_PORT,
    HTTPS_PORT,
    Connect,
    Own,
    Plain,
    RequestError,
    authority_text,
    parse_head,
    parse_inner,
)
from steering.endpoint.proxy.sieve import cross_one
from steering.endpoint.proxy.works import Works
from steering.formats.attestation import HEADER
from steering.policy import Fact, parse_host
from steering.policy.hosts import Address
from steering.streams.crossing import Crossing
from steering.streams.link import Link
from steering.streams.tunnel import Pair


class _Unowned:
    """Owner of a link until a crossing is: a link reads nothing before."""

    def on_secured(self) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_eof(self, clean: bool) -> None: ...

    def on_lost(self, error: Exception) -> None: ...

    def on_drained(self) -> None: ...


UNOWNED = _Unowned()


class Way(Enum):
    EXPLICIT = "proxy"
    CAPTURED = "captured"


class Tongue(Enum):
    """What the client takes an answer in.  NONE: a tunnel is open, so that nothing of ours may stand in it."""

    HTTP = "HTTP"
    SOCKS = "SOCKS"
    NONE = "none"


class Connection:
    """Run it once; it owns the socket until a relay does.  user: whom it counts for, among those that are held."""

    def __init__(
        self, works: Works, sock: socket.socket, ends: Ends, identity: Identity | None, way: Way, user: str = ""
    ) -> None:
        self._user = user
        self._works = works
        self._sock = sock
        self._client = Client(sock, works.loop, works.limits)
        self._ends = ends
        self._identity = identity
        self._asked = False  # the whole ladder
        self._way = way
        self._tongue = Tongue.HTTP if way is Way.EXPLICIT else Tongue.NONE
        self._began_at = works.clock()
        self._shown: Shown | None = None
        self._course: Course | None = None
        self._given_away = False

    async def run(self) -> None:
        try:
            await (self._explicit() if self._way is Way.EXPLICIT else self._captured())
        except RequestError as exc:
            await self._refuse(exc.status, exc.reason, exc.why)
        except DialError as exc:
            await self._refuse(504 if exc.reason == "timeout" else 502, exc.reason, str(exc))
        except InspectorUnreachable as exc:
            why = f"the inspector cannot be reached, and nothing may go past it: {exc}"
            await self._refuse(502, UNREACHABLE, why)
        except ClientGone as exc:
            if self._client.spoke or self._shown:  # browsers open connections that they never use
                self._report("client-gone", str(exc))
        finally:
            if not self._given_away:
                self._sock.close()
                self._works.let_go(self._user)

    # What the client shows

    async def _explicit(self) -> None:
        match await self._request():
            case Own() as request:
                here = authority_text(parse_host(str(self._ends.remote)), self._ends.remote_port)
                await self._client.let_go(own_answer(request, here, self._ends.remote_port))
            case Connect() as request:
                await self._connect(request)
            case Plain() as request:
                await self._plain(request, Shown(authority=request.host))

    async def _request(self) -> Connect | Plain | Own:
        client = self._client
        try:
            async with asyncio.timeout(self._works.limits.head_s):
                await client.receive()
                if client.buffer[0] != socks.VERSION:
                    return parse_head(await client.head())
                self._tongue = Tongue.NONE  # the SOCKS reader answers for itself, up to the request
                request = await client.socks_request()
        except TimeoutError as exc:
            if not client.spoke:
                raise ClientGone("the client said nothing") from exc
            raise RequestError(408, "timeout", "the head of the request did not come in time") from exc
        self._tongue = Tongue.SOCKS
        return request

    async def _captured(self) -> None:
        """The client believes that it speaks to its origin."""
        remote, port = self._ends.remote, self._ends.remote_port
        request = Connect(host=parse_host(str(remote)), port=port)
        self._shown = Shown(authority=request.host)
        await self._inside(request, await self._client.peek())

    async def _connect(self, request: Connect) -> None:
        if request.host.is_name and not (await self._decide(Shown(authority=request.host))).direct:
            if not self._may_hold_plain_http(request):
                # No name inside could make this a bypass, and the inspector's own answer can still be shown.
                await self._through(request)
                return
        elif request.host.address is not None:
            self._refuse_own((request.host.address,), request.port)
        self._bundle()  # before a 200, where it can still be said
        await self._establish()
        await self._inside(request, await self._client.peek())

    def _may_hold_plain_http(self, request: Connect) -> bool:
        """The inspector takes CONNECT for TLS; plain HTTP in a tunnel (ws://, SOCKS) goes to it as plain requests."""
        return request.port == HTTP_PORT or (self._tongue is Tongue.SOCKS and request.port != HTTPS_PORT)

    async def _inside(self, request: Connect, inside: Inside) -> None:
        """What a tunnel holds has begun."""
        if inside.head:
            self._tongue = Tongue.HTTP
            plain = parse_inner(inside.head, request.port)
            if request.host.is_name and plain.host != request.host:
                raise RequestError(421, "misdirected", "the request inside is for another host than the tunnel")
            await self._plain(plain, Shown(authority=request.host, inner=plain.host))
            return
        found = await self._decide(Shown(authority=request.host, inner=inside.sni))
        if found.direct:
            await self._direct(request)
        elif self._way is Way.CAPTURED and inside.sni is not None and inside.sni.is_name:
            await self._through(Connect(host=inside.sni, port=request.port))
        else:
            await self._through(request)

    async def _plain(self, request: Plain, shown: Shown) -> None:
        if request.host.address is not None:
            self._refuse_own((request.host.address,), request.port)
        if (await self._decide(shown)).direct:
            await self._direct(request)
        else:
            await self._through(request)

    # What is decided

    async def _decide(self, shown: Shown) -> Course:
        self._shown = shown
        bundle = self._bundle()
        found = self._course_by(bundle, shown)
        if found.waits & {Fact.PROGRAM, Fact.USER} and await self._identified_further():
            found = self._course_by(bundle, shown)
        self._course = found
        if Fact.PROGRAM in found.waits and bundle.modes.unknown_process == "block":
            self._refuse_unknown()
        return found

    def _refuse_unknown(self) -> None:
        identity = self._identity
        if identity is None or identity.unknown:
            why = identity.unknown if identity else "it was not found"
            raise RequestError(403, "unknown-program", f"the program that asks is not known: {why}")

    def _course_by(self, bundle: Bundle, shown: Shown) -> Course:
        return course_of(bundle.policy, shown, self._works.facts(self._identity), self._works.clock())

    async def _identified_further(self) -> bool:
        """Ask the whole ladder, once; an answer that was unknown at once stays unknown."""
        if self._asked or (self._identity is not None and self._identity.unknown):
            return False
        self._asked = True
        self._identity = await self._works.identifier.full(self._ends)
        return True

    def _bundle(self) -> Bundle:
        bundle = self._works.live.bundle
        if bundle is None:
            raise RequestError(503, "no-policy", "no policy has been fetched yet, and without one nothing is passed")
        return bundle

    # Where it goes

    async def _direct(self, request: Connect | Plain, reason: str = "") -> None:
        works, found = self._works, self._course
        assert found is not None
        try:
            async with asyncio.timeout(works.limits.dial_s):
                addresses = await addresses_of(found.dial, works.resolve)
                steered = not reason and self._is_steered(addresses)
                if not steered:
                    self._refuse_own(addresses, request.port)
                    origin = await connect(addresses, request.port, works.limits)
        except TimeoutError as exc:
            raise DialError("timeout", "it did not answer in time") from exc
        if steered:
            # Split DNS leads to the inspector: it tunnels this, told which program asks.
            await self._through(request)
        elif isinstance(request, Plain):
            self._cross_one(request, Link(origin, works.loop, works.limits, UNOWNED), request.to_origin(), reason)
        else:
            relayed = Relayed(works, self._line(reason), direct=True)
            pair = Pair(works.loop, self._sock, origin, relayed.on_end)
            self._given_away = True
            relayed.start(pair, lambda: pair.start(self._client.taken()))

    def _is_steered(self, addresses: Sequence[Address]) -> bool:
        assert self._course is not None
        return self._course.dial.is_name and not self._bundle().inspector_addresses.isdisjoint(addresses)

    def _refuse_own(self, addresses: Sequence[Address], port: int) -> None:
        if any(self._works.is_own(address, port) for address in addresses):
            raise RequestError(403, "own-listener", "the helper does not connect to itself")

    async def _through(self, request: Connect | Plain) -> None:
        try:
            ready = await self._works.links.take()
            if isinstance(request, Connect):
                await self._through_connect(request, ready)
                return
        except InspectorUnreachable as exc:
            await self._past_the_inspector(request, exc)
            return
        token = self._token(request, ready)
        head = request.to_inspector(((HEADER.encode("ascii"), token.encode("ascii")),))
        self._cross_one(request, ready.link, head, None)

    async def _past_the_inspector(self, request: Connect | Plain, why: InspectorUnreachable) -> None:
        """No inspector answers.  Only where the policy says so it goes direct then, and never what may be blocked."""
        assert self._course is not None
        if self._bundle().modes.inspector_unreachable != "open" or self._course.blocks:
            raise why
        if isinstance(request, Connect) and self._tongue is not Tongue.NONE:
            await self._establish()
            await self._look_inside(request, why)
        await self._direct(request, UNREACHABLE)

    async def _look_inside(self, request: Connect, why: InspectorUnreachable) -> None:
        """The inspector would have read what the tunnel holds: nothing that a rule blocks may hide in it."""
        inside = await self._client.peek()
        if inside.head:
            raise RequestError(403, UNREACHABLE, "plain HTTP in a tunnel is for the inspector, which cannot be reached")
        if (await self._decide(Shown(authority=request.host, inner=inside.sni))).blocks:
            raise why

    def _token(self, request: Connect | Plain, ready: Ready) -> str:
        works = self._works
        return works.attester.token(
            request.authority, ready.nonce, self._bundle().revision, self._identity, works.clock()
        )

    async def _through_connect(self, request: Connect, ready: Ready) -> None:
        """Raises InspectorUnreachable."""
        try:
            awaiting, head = await self._asked_to_connect(request, ready)
        except TimeoutError as exc:
            raise DialError("timeout", "the inspector did not answer in time") from exc
        except (OSError, ValueError) as exc:
            if not ready.spare:
                raise InspectorUnreachable(str(exc)) from exc
            # It was closed while it waited; nothing of the client has gone there.
            await self._through_connect(request, await self._works.links.take(fresh=True))
            return
        inspector = awaiting.link
        if read_answer(head)[0] == 200:
            try:
                await self._establish()
            except ClientGone:
                inspector.close()
                raise
            self._cross(inspector, bytes(awaiting.buffer))
        elif self._tongue is Tongue.HTTP:
            self._cross(inspector, head + bytes(awaiting.buffer))
        else:
            inspector.close()
            raise RequestError(403, "inspector-refused", f"the inspector refused it with {read_answer(head)[0]}")

    async def _asked_to_connect(self, request: Connect, ready: Ready) -> tuple[Awaiting, bytes]:
        """Raises OSError and ValueError, with the connection closed."""
        works, link = self._works, ready.link
        awaiting = Awaiting(link.sock, works.loop, works.limits, link)
        try:
            shown = request.authority
            token = self._token(request, ready)
            link.write(f"CONNECT {shown} HTTP/1.1\r\nHost: {shown}\r\n{HEADER}: {token}\r\n\r\n".encode("ascii"))
            link.resume()
            async with asyncio.timeout(works.limits.dial_s):
                head = await awaiting.head()
            read_answer(head)
        except BaseException:
            link.close()
            raise
        link.pause()
        return awaiting, head

    def _cross(self, inspector: Link, from_inspector: bytes) -> None:
        works = self._works
        relayed = Relayed(works, self._line(""), direct=False)
        client = Link(self._sock, works.loop, works.limits, UNOWNED)
        crossing = Crossing(works.loop, client, inspector, relayed.on_end)
        self._given_away = True

        def begin() -> None:
            crossing.start(self._client.taken(), from_inspector)
            if inspector.eof or inspector.closed:  # it has ended already, with its answer
                inspector.owner.on_eof(False)

        relayed.start(crossing, begin)

    def _cross_one(self, request: Plain, to: Link, head: bytes, reason: str | None) -> None:
        """Send one plain request.  reason: None for one that goes to the inspector."""
        works = self._works
        relayed = Relayed(works, self._line(reason or ""), direct=reason is not None)
        client = Link(self._sock, works.loop, works.limits, UNOWNED)
        crossing = Crossing(works.loop, client, to, relayed.on_end)
        one = OneRequest(body_of(request.length), upgrade=request.upgrade)
        self._given_away = True
        to.write(head)
        relayed.start(crossing, lambda: cross_one(crossing, client, to, one, self._client.taken()))

    # What is answered here

    async def _establish(self) -> None:
        if self._tongue is not Tongue.NONE:
            answer = ESTABLISHED if self._tongue is Tongue.HTTP else socks.reply(socks.SUCCEEDED)
            self._tongue = Tongue.NONE
            await self._client.send(answer)

    async def _refuse(self, status: int, reason: str, why: str) -> None:
        self._report(reason, why, status)
        if self._tongue is Tongue.HTTP:
            host = self._shown.authority.text if self._shown else ""
            await self._client.let_go(refusal(status, reason, why, host))
        elif self._tongue is Tongue.SOCKS:
            await self._client.let_go(socks.reply(socks.NOT_ALLOWED if status == 403 else socks.UNREACHABLE))

    def _line(self, reason: str, detail: str = "") -> Line:
        return Line(
            client=str(self._ends.local),
            began_at=self._began_at,
            identity=self._identity,
            user=self._user,
            shown=self._shown,
            course=self._course,
            reason=reason,
            detail=detail,
        )

    def _report(self, reason: str, detail: str, status: int = 0) -> None:
        report(self._works, self._line(reason, detail), "refuse", status=status)
