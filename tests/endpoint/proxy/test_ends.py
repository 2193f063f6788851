"""Both ends of a connection as its client has them, and the captured way in a network namespace of our own."""

import asyncio
import socket
import subprocess
from ipaddress import ip_address

import pytest

from steering.endpoint.identify.identity import Ends
from steering.endpoint.proxy.ends import ends_of, original_ends
from steering.policy.hosts import Address
from tests.endpoint.proxy.rig import Named, Rig, Wire, bound, running
from tests.kit import eventually
from tests.wire.namespace import Namespace

FOUR, SIX = "203.0.113.7", "2001:db8::7"


@pytest.mark.parametrize(
    ("listening", "connecting", "here"),
    [("127.0.0.1", "127.0.0.1", "127.0.0.1"), ("::1", "::1", "::1"), ("::", "127.0.0.1", "127.0.0.1")],
)
def test_the_ends_of_a_connection(listening: str, connecting: str, here: str) -> None:
    with (
        bound(listening) as listener,
        socket.socket(socket.AF_INET6 if ":" in connecting else socket.AF_INET) as client,
    ):
        port = listener.getsockname()[1]
        client.connect((connecting, port))
        accepted, _ = listener.accept()
        with accepted:
            assert ends_of(accepted) == Ends(ip_address(here), client.getsockname()[1], ip_address(here), port)


def test_a_connection_that_nobody_redirected_is_no_captured_one() -> None:
    with bound() as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            try:
                found = original_ends(accepted)
            except OSError:
                return  # no connection tracking, or nothing of it there
            assert found == ends_of(accepted)  # the service sees that it is itself


def redirect(port: int, port_six: int) -> None:
    rules = f"""table inet test {{ chain output {{ type nat hook output priority -100;
        ip daddr {FOUR} tcp dport {{ 80, 443 }} redirect to :{port}
        ip6 daddr {SIX} tcp dport {{ 80, 443 }} redirect to :{port_six}
    }}
    }}"""
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


async def captured(rig: Rig, target: str, port: int) -> Wire:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    return Wire(*await asyncio.open_connection(target, port, family=family))


async def capture() -> list[tuple[str, str, str, str | None, str]]:
    """Everything that is captured, one after the other; the lines with who was identified as connecting where."""
    four, six = bound("0.0.0.0"), bound("::1")
    identifier = Named()
    async with running(identifier=identifier) as rig:
        seen = identifier.ends
        redirect(four.getsockname()[1], six.getsockname()[1])
        rig.proxy.start(captured=[four, six])
        # Whatever is dialled, by name or by the inspector, is the origin here.
        here: list[Address] = [ip_address("127.0.0.1")]
        rig.addresses["pin.example"] = here
        rig.inspector.forward = {
            "www.example": rig.tls.port, f"[{SIX}]": rig.tls.port, FOUR: rig.tls.port,
        }  # fmt: skip
        with Forwarded(443, rig.tls.port), Forwarded(80, rig.plain.port):
            for target in (FOUR, f"::ffff:{FOUR}", SIX):
                for sni in ("pin.example", "www.example", ""):
                    wire = await captured(rig, target, 443)
                    await wire.start_tls(sni)
                    assert (await wire.get(sni or "x")).endswith(b"hello\n")
                    await wire.close()
                    await rig.settled(len(seen))
                wire = await captured(rig, target, 80)
                await wire.send(b"GET /head HTTP/1.1\r\nHost: pin.example\r\nSteering-Nonce: x\r\n\r\n")
                assert b"Host: pin.example\r\nConnection: close\r\n\r\n" in await wire.answer()
                await wire.close()
                rig.inspector.forward["www.example"] = rig.plain.port
                wire = await captured(rig, target, 80)
                await wire.send(b"GET /head HTTP/1.1\r\nHost: www.example\r\n\r\n")
                assert b"Host: www.example" in await wire.answer()
                await wire.close()
                rig.inspector.forward["www.example"] = rig.tls.port
                await eventually(lambda: len(rig.lines) == len(seen))
        assert not rig.inspector.errors
        return [
            (str(ends.remote), str(ends.remote_port), line.host, line.rule, line.effect)
            for ends, line in zip(seen, rig.lines, strict=True)
        ]


class Forwarded:
    """A forwarder from a port of loopback to an origin's."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to

    def __enter__(self) -> None:
        rule = f"add rule inet test output ip daddr 127.0.0.1 tcp dport {self._port} redirect to :{self._to}"
        subprocess.run(["nft", rule], check=True)

    def __exit__(self, *exc: object) -> None: ...


@pytest.mark.needs("root", "unshare", "nft")
def test_what_was_redirected_here_is_decided_by_what_it_shows() -> None:
    with Namespace((f"{FOUR}/32", f"{SIX}/128")) as namespace:
        lines = namespace.run(capture(), within_s=60)
    expected = []
    for target in (FOUR, FOUR, SIX):
        expected += [
            (target, "443", "pin.example", "pinned", "direct"),
            (target, "443", "www.example", None, "proxy"),
            (target, "443", target, None, "proxy"),
            (target, "80", "pin.example", "pinned", "direct"),
            (target, "80", "www.example", None, "proxy"),
        ]
    assert lines == expected
