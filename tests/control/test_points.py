"""From the configuration to what the points of one worker are told."""

import ssl
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from steering.control.config import Config, load_config
from steering.control.errors import ConfigError
from steering.control.points import (
    GAUGES,
    check_trust,
    dns_settings,
    inspector_settings,
    start_points,
    upstream_context,
    upstreams_of,
)
from steering.policy.live import Live
from steering_dns.settings import DnsSettings
from steering_dns.upstreams import parse_upstream
from steering_inspector.settings import InspectorSettings
from tests.control.rigs import enforced_of
from tests.inspector.origin import origin_ca


def config(**environment: str) -> Config:
    return load_config(None, {f"STEERING_{name}": text for name, text in environment.items()}).config


def test_the_resolvers_settings() -> None:
    made = dns_settings(
        config(
            DNS_UPSTREAMS="udp://192.0.2.1:5353,tls://192.0.2.2:853#dns.example",
            DNS_ZONES='{"corp.example": ["192.0.2.3"]}',
            DNS_INSPECTOR_ADDRESSES="192.0.2.4,2001:db8::4",
            DNS_STEERED="10.0.0.0/8",
            DNS_ALLOWED="10.0.0.0/8,127.0.0.1",
            DNS_FOLLOW_CNAME="true",
            DNS_QUERY_LOG="true",
            INSPECTOR_ALLOW_DESTINATIONS="127.0.0.0/8",
        ),
        {"s.example": ()},
        "word",
    )
    assert made == DnsSettings(
        inspector_addresses=(ip_address("192.0.2.4"), ip_address("2001:db8::4")),
        upstreams=(parse_upstream("udp://192.0.2.1:5353"), parse_upstream("tls://192.0.2.2:853#dns.example")),
        zones={"corp.example": (parse_upstream("192.0.2.3"),)},
        follow_cname=True,
        steered=(ip_network("10.0.0.0/8"),),
        allowed=(ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32")),
        own_names={"s.example": ()},
        allowed_private=(ip_network("127.0.0.0/8"),),
        query_log=True,
        loop_token="word",
    )


def test_the_inspectors_settings() -> None:
    made = inspector_settings(
        config(
            INSPECTOR_CONNECT_PORTS="443,8443",
            INSPECTOR_ORIGIN_TLS_PORT="4433",
            INSPECTOR_ORIGIN_HTTP_PORT="8080",
            INSPECTOR_ALLOWED="10.0.0.0/8",
            INSPECTOR_ALLOW_DESTINATIONS="127.0.0.0/8",
            INSPECTOR_ALLOW_NO_SNI="true",
        ),
        frozenset({("0.0.0.0", 3128)}),
        frozenset({"192.0.2.7"}),
        "word",
    )
    assert made == InspectorSettings(
        connect_ports=frozenset({443, 8443}),
        origin_tls_port=4433,
        origin_http_port=8080,
        allowed=(ip_network("10.0.0.0/8"),),
        allow_destinations=(ip_network("127.0.0.0/8"),),
        own=frozenset({("0.0.0.0", 3128)}),
        local=frozenset({"192.0.2.7"}),
        allow_no_sni=True,
        advertised="steering-word",
    )


def test_wrong_upstreams() -> None:
    with pytest.raises(ConfigError, match=r"^dns: 'udp://x:53': 'x' is no address"):
        upstreams_of(config(DNS_UPSTREAMS="udp://x:53"))
    with pytest.raises(ConfigError, match="is no address"):
        dns_settings(config(DNS_UPSTREAMS="192.0.2.1", DNS_ZONES='{"corp.example": ["x"]}'), {}, "")


def test_trust_is_loaded_before_any_worker_is_started(tmp_path: Path) -> None:
    check_trust([])
    check_trust([origin_ca().file])
    (tmp_path / "empty.pem").write_text("")
    for file in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        with pytest.raises(ConfigError, match=rf"inspector\.trust: {file} cannot be loaded"):
            check_trust([origin_ca().file, file])


async def test_every_gauge_is_counted_by_a_point() -> None:
    """A gauge that was renamed would be added up for ever."""
    points = await start_points(
        dns=dns_settings(config(DNS_UPSTREAMS="udp://127.0.0.1:9"), {}, "word"),
        inspector=InspectorSettings(),
        trust=(),
        sockets={},
        live=Live(enforced_of().policy),
        authority=None,
        crl_url="",
        sink=lambda line: None,
    )
    counted = {name for counters in points.counters().values() for name in counters}
    await points.drain(1)
    assert counted >= GAUGES


def test_upstreams_are_verified_by_what_origins_are() -> None:
    before, after = upstream_context(()), upstream_context((origin_ca().file,))
    added = _serials(after) - _serials(before)
    assert len(added) == 1
    assert (after.check_hostname, after.verify_mode) == (True, ssl.CERT_REQUIRED)


def _serials(context: ssl.SSLContext) -> set[str]:
    return {str(certificate["serialNumber"]) for certificate in context.get_ca_certs()}
