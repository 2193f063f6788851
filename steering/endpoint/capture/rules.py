"""What the packet filter is told, as the text that ``nft -f -`` reads.

Pure.  One table of our own, replaced as a whole in one transaction: there is no moment with half of it, and what an
older run has left is gone with it.  New TCP connections to the web's ports are redirected to the helper; QUIC to them
is refused, so that browsers fall back to TCP.  What the helper itself opens is known by its user or its mark.

Two ways to fail, by ``dead``.  "closed": the ports stand in the rules, and without a helper connections are refused.
"open": they stand in a set whose elements expire, and the helper renews them; when it hangs or is killed, the kernel
lets go by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from steering.endpoint.errors import EndpointError

TABLE = "inet steering_endpoint"
HELD = "held"  # the set that expires
OWN_MARK = 0x73746565  # SO_MARK of what the helper dials; setting one takes CAP_NET_ADMIN or CAP_NET_RAW
PORTS = (80, 443)
EXPIRES_S = 15
Network = IPv4Network | IPv6Network

# Reserved (design, section 2): never proxied.  What is routed to loopback is left alone by its interface.
LINK_LOCAL: tuple[Network, ...] = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePlan:
    """port: of the helper's listeners for captured connections, on 127.0.0.1 and ::1.

    own_uid: the helper's own user, None where it shares one with programs that are to be captured.  Root is such a
    user: exempting it would exempt every daemon.  own_mark: 0 for none.
    users: who is captured, empty: everybody.  stays: networks that are left alone besides link-local ones.
    """

    port: int
    own_uid: int | None = None
    own_mark: int = OWN_MARK
    users: tuple[int, ...] = ()
    stays: tuple[Network, ...] = ()
    ports: tuple[int, ...] = PORTS
    dead: Literal["closed", "open"] = "closed"
    expires_s: int = EXPIRES_S

    def __post_init__(self) -> None:
        if self.own_uid == 0:
            raise EndpointError("capture would exempt all of root's programs: run the helper as a user of its own")
        if self.own_uid is None and not self.own_mark:
            raise EndpointError("capture would redirect the helper to itself: it needs a user of its own, or a mark")
        if not self.ports or not all(0 < port < 65536 for port in (self.port, *self.ports)):
            raise EndpointError("capture needs ports between 1 and 65535")
        if self.expires_s < 1:
            raise EndpointError("capture: what is held expires after a second at least")

    @property
    def beat_s(self) -> float:
        """Between heartbeats: two may be lost."""
        return self.expires_s / 3


def render(plan: CapturePlan) -> str:
    """The transaction that puts ``plan`` in force, whatever was before."""
    spared = [f"\t\t{line} return" for line in _spared(plan)]
    ports = f"@{HELD}" if plan.dead == "open" else _set(plan.ports)
    lines = [
        f"add table {TABLE}",  # so that the next line always finds one
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        *(_held(plan) if plan.dead == "open" else ()),
        "\tchain steer {",
        "\t\ttype nat hook output priority -100; policy accept;",
        *spared,
        f"\t\ttcp dport {ports} redirect to :{plan.port}",
        "\t}",
        "\tchain quic {",
        "\t\ttype filter hook output priority 0; policy accept;",
        *spared,
        f"\t\tudp dport {ports} reject",
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def render_beat(plan: CapturePlan) -> str:
    """The transaction that holds the ports for another while.

    Emptied and filled in one: adding an element that is there does not renew it in every kernel, and removing one
    that has just expired would fail.
    """
    elements = ", ".join(f"{port} timeout {plan.expires_s}s" for port in plan.ports)
    return f"flush set {TABLE} {HELD}\nadd element {TABLE} {HELD} {{ {elements} }}\n"


def render_removal() -> str:
    """The transaction that leaves nothing of ours, also where nothing is."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def _held(plan: CapturePlan) -> tuple[str, ...]:
    return (
        f"\tset {HELD} {{",
        "\t\ttype inet_service;",
        f"\t\tflags timeout; timeout {plan.expires_s}s;",
        f"\t\telements = {_set(plan.ports)}",
        "\t}",
    )


def _spared(plan: CapturePlan) -> list[str]:
    """What is left alone, cheapest first."""
    found = ['oifname "lo"']
    if plan.own_uid is not None:
        found.append(f"meta skuid {plan.own_uid}")
    if plan.own_mark:
        found.append(f"meta mark {plan.own_mark:#x}")
    if plan.users:
        found.append(f"meta skuid != {_set(sorted(plan.users))}")
    for family, version in (("ip", 4), ("ip6", 6)):
        networks = [network for network in (*LINK_LOCAL, *plan.stays) if network.version == version]
        found.append(f"{family} daddr {_set(_collapsed(networks))}")
    return found


def _collapsed(networks: list[Network]) -> list[Network]:
    """Without those within others: nft refuses intervals that overlap."""
    alone = sorted(set(networks), key=lambda network: (network.prefixlen, int(network.network_address)))
    kept: list[Network] = []
    for network in alone:
        if not any(network.subnet_of(wider) for wider in kept):  # type: ignore[arg-type]  # of one version
            kept.append(network)
    return kept


def _set(values: Iterable[object]) -> str:
    return "{ " + ", ".join(map(str, values)) + " }"
