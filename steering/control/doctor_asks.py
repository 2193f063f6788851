"""One harmless question to each listener and upstream, answered without the internet where it is our own.

Each returns what was wrong with the answer, "" where nothing was, and never raises for what a peer does.
"""

import asyncio
import http.client
import re
import socket
import ssl
from ipaddress import ip_address

from cryptography import x509

from steering.control.config import parse_listen
from steering.control.doctor_facts import Certificate
from steering.control.listening import Role
from steering_dns import wire
from steering_dns.exchange import ExchangeError, exchange_with
from steering_dns.upstreams import Transport, Upstream

WAIT_S = 5.0
_CANARY = "use-application-dns.net"  # answered NXDOMAIN by the resolver itself
_NXDOMAIN, _REFUSED, _SERVFAIL = 3, 5, 2
_NS = 2
_RESERVED = "self-check.invalid"  # there is no such name (RFC 6761): refused by the inspector itself


def ask_listener(role: Role, host: str, port: int) -> str:
    match role:
        case Role.CONTROL:
            return ask_pac(host, port)
        case Role.EXPLICIT:
            return ask_proxy(host, port)
        case Role.DNS_UDP | Role.DNS_TCP:
            return ask_resolver(host, port, tcp=role is Role.DNS_TCP)
        case _:
            return connects(host, port)


def ask_pac(host: str, port: int) -> str:
    status, body, problem = _http(host, port, "GET", "/proxy.pac")
    if problem:
        return problem
    if status != 200:
        return f"/proxy.pac is answered with {status}"
    return "" if b"FindProxyForURL" in body else "/proxy.pac is no PAC"


def ask_proxy(host: str, port: int) -> str:
    """A CONNECT, and a request that the inspector refuses by itself, with a named reason."""
    problem = _connect(host, port)
    if problem:
        return problem
    status, body, problem = _http(host, port, "GET", f"http://{_RESERVED}/")
    if problem:
        return problem
    reason = re.search(rb"^Steering-Reason: (.*)$", body, re.MULTILINE)
    if reason is None:
        return f"answers with {status} what it must refuse: this is no inspector"
    return "refuses this machine: its address is not in allowed of [inspector]" if reason[1] == b"client" else ""


def _connect(host: str, port: int) -> str:
    """Whether a CONNECT is answered as HTTP; a refusal may follow inside of it, where browsers can show it."""
    try:
        with socket.create_connection((host, port), timeout=WAIT_S) as link:
            link.sendall(f"CONNECT {_RESERVED}:443 HTTP/1.1\r\nHost: {_RESERVED}:443\r\n\r\n".encode())
            said = link.recv(4096)
    except OSError as exc:
        return f"does not answer a CONNECT: {exc}"
    return "" if said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 403")) else f"answers a CONNECT with {said[:40]!r}"


def _http(host: str, port: int, method: str, target: str) -> tuple[int, bytes, str]:
    """Status, head and body, or a problem."""
    connection = http.client.HTTPConnection(host, port, timeout=WAIT_S)
    try:
        connection.request(method, target, headers={"Connection": "close"})
        answer = connection.getresponse()
        head = "".join(f"{key}: {value}\n" for key, value in answer.getheaders()).encode()
        return answer.status, head + answer.read(1 << 21), ""
    except (OSError, http.client.HTTPException) as exc:
        return 0, b"", f"does not answer: {exc}"
    finally:
        connection.close()


def connects(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=WAIT_S).close()
    except OSError as exc:
        return f"cannot be connected to: {exc}"
    return ""


def ask_resolver(host: str, port: int, *, tcp: bool) -> str:
    upstream = Upstream(Transport.TCP if tcp else Transport.UDP, ip_address(host), port)
    rcode, problem = _asked(upstream, wire.to_wire(_CANARY), wire.A)
    if problem:
        return problem
    if rcode == _REFUSED:
        return "refuses this machine: its address is not in allowed of [dns]"
    return "" if rcode == _NXDOMAIN else f"answers {_CANARY} with code {rcode} in place of NXDOMAIN"


def ask_upstream(upstream: Upstream) -> str:
    """Any answer to a question for the root's name servers will do, but a refusal or a failure."""
    rcode, problem = _asked(upstream, b"\0", _NS)
    if problem:
        return problem
    return {_REFUSED: "refuses us", _SERVFAIL: "cannot resolve: it answers SERVFAIL"}.get(rcode, "")


def _asked(upstream: Upstream, name: bytes, qtype: int) -> tuple[int, str]:
    """The answer's code, or a problem."""

    async def ask() -> bytes:
        tls = ssl.create_default_context() if upstream.server_name else None
        exchange = exchange_with(upstream, tls)
        try:
            return await asyncio.wait_for(exchange.ask(name, qtype, 0), WAIT_S)
        finally:
            exchange.close()

    try:
        return asyncio.run(ask())[3] & 15, ""
    except TimeoutError:
        return 0, f"no answer within {WAIT_S:.0f} s"
    except (ExchangeError, OSError) as exc:
        return 0, f"no answer: {exc}"


def certificate_at(what: str, host: str, port: int) -> Certificate:
    """What a TLS listener shows, whoever signed it."""
    try:
        pem = ssl.get_server_certificate((host, port), timeout=WAIT_S)
        shown = x509.load_pem_x509_certificate(pem.encode())
    except (OSError, ValueError) as exc:
        return Certificate(what=what, problem=f"{host}:{port} shows no certificate: {exc}")
    return Certificate(
        what=what, begins=shown.not_valid_before_utc.timestamp(), ends=shown.not_valid_after_utc.timestamp()
    )


def from_here(address: str) -> tuple[str, int]:
    """Where this machine reaches a listener: a wildcard stands for loopback too."""
    host, port = parse_listen(address)
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return host, port
