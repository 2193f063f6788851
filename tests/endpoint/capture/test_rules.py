"""The packet filter's text: whole transactions in named cases, and what may not be planned."""

import subprocess
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.capture.rules import CapturePlan, Network, render, render_beat, render_removal
from steering.endpoint.errors import EndpointError

CLOSED = """\
add table inet steering_endpoint
delete table inet steering_endpoint
table inet steering_endpoint {
	chain steer {
		type nat hook output priority -100; policy accept;
		oifname "lo" return
		meta skuid 990 return
		meta mark 0x73746565 return
		ip daddr { 169.254.0.0/16 } return
		ip6 daddr { fe80::/10 } return
		tcp dport { 80, 443 } redirect to :15001
	}
	chain quic {
		type filter hook output priority 0; policy accept;
		oifname "lo" return
		meta skuid 990 return
		meta mark 0x73746565 return
		ip daddr { 169.254.0.0/16 } return
		ip6 daddr { fe80::/10 } return
		udp dport { 80, 443 } reject
	}
}
"""

OPEN_FOR_SOME = """\
add table inet steering_endpoint
delete table inet steering_endpoint
table inet steering_endpoint {
	set held {
		type inet_service;
		flags timeout; timeout 9s;
		elements = { 443 }
	}
	chain steer {
		type nat hook output priority -100; policy accept;
		oifname "lo" return
		meta mark 0x7 return
		meta skuid != { 1000, 1001 } return
		ip daddr { 10.0.0.0/8, 169.254.0.0/16 } return
		ip6 daddr { fc00::/7, fe80::/10 } return
		tcp dport @held redirect to :15002
	}
	chain quic {
		type filter hook output priority 0; policy accept;
		oifname "lo" return
		meta mark 0x7 return
		meta skuid != { 1000, 1001 } return
		ip daddr { 10.0.0.0/8, 169.254.0.0/16 } return
		ip6 daddr { fc00::/7, fe80::/10 } return
		udp dport @held reject
	}
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    plan: CapturePlan
    text: str


CASES = {
    "closed, everybody but the helper": Case(CapturePlan(port=15001, own_uid=990), CLOSED),
    "open, two users, private networks left alone": Case(
        CapturePlan(
            port=15002,
            own_mark=7,
            users=(1001, 1000),
            # 10.1.0.0/16 stands within 10.0.0.0/8, and once is enough
            stays=tuple(map(ip_network, ("10.1.0.0/16", "10.0.0.0/8", "fc00::/7", "10.0.0.0/8"))),
            ports=(443,),
            dead="open",
            expires_s=9,
        ),
        OPEN_FOR_SOME,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_whole_transaction(case: Case) -> None:
    assert render(case.plan) == case.text


def test_heartbeat_and_removal() -> None:
    plan = CapturePlan(port=15001, own_uid=990, dead="open", expires_s=15)
    assert plan.beat_s == 5
    assert render_beat(plan) == (
        "flush set inet steering_endpoint held\n"
        "add element inet steering_endpoint held { 80 timeout 15s, 443 timeout 15s }\n"
    )
    assert render_removal() == "add table inet steering_endpoint\ndelete table inet steering_endpoint\n"


REFUSED: dict[str, dict[str, Any]] = {
    "root as the helper's user": {"port": 15001, "own_uid": 0},
    "nothing to know the helper by": {"port": 15001, "own_mark": 0},
    "port 0": {"port": 0, "own_uid": 990},
    "port 65536": {"port": 65536, "own_uid": 990},
    "captured port 0": {"port": 15001, "own_uid": 990, "ports": (0,)},
    "captured port 65536": {"port": 15001, "own_uid": 990, "ports": (65536,)},
    "no port": {"port": 15001, "own_uid": 990, "ports": ()},
    "expires at once": {"port": 15001, "own_uid": 990, "expires_s": 0},
}


@pytest.mark.parametrize("given_", REFUSED.values(), ids=REFUSED.keys())
def test_refused_plans(given_: dict[str, Any]) -> None:
    with pytest.raises(EndpointError, match="capture"):
        CapturePlan(**given_)


@pytest.mark.parametrize("port", [1, 65535])
def test_first_and_last_port(port: int) -> None:
    assert f"redirect to :{port}\n" in render(CapturePlan(port=port, own_uid=1, ports=(port,), expires_s=1))


networks = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda length: ip_network(f"{address}/{length}", strict=False)
    )
)


@given(stays=st.lists(networks, max_size=12))
def test_networks_left_alone_are_the_given_ones_without_overlap(stays: list[Network]) -> None:
    text = render(CapturePlan(port=15001, own_uid=990, stays=tuple(stays)))
    lines = {line.strip() for line in text.splitlines() if " daddr " in line}
    kept = [ip_network(item) for line in lines for item in line.partition("{ ")[2].partition(" }")[0].split(", ")]
    same = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :] if a.version == b.version]
    assert not any(a.overlaps(b) for a, b in same)
    for network in stays:
        assert any(network.subnet_of(k) for k in kept if k.version == network.version)  # type: ignore[arg-type]


@pytest.mark.needs("nft", "unshare")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nft_takes_it(case: Case) -> None:
    command = ["unshare", "--net", "nft", "-c", "-f", "-"]
    ended = subprocess.run(command, input=case.text, text=True, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, "")
