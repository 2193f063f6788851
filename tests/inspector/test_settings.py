"""What is in force where nothing is configured: the stricter side."""

from dataclasses import fields
from ipaddress import ip_address

from steering.formats.clienthello import MAX_HELLO_BYTES
from steering_inspector.settings import InspectorSettings, Limits

STRICT = {
    "connect_ports": frozenset({443}),
    "origin_tls_port": 443,
    "origin_http_port": 80,
    "http_ports": None,
    "allow_destinations": (),
    "own": frozenset(),
    "local": frozenset(),
    "allow_no_http1": False,
    "allow_non_tls": False,
    "allow_no_sni": False,
    "advertised": "",
    "limits": Limits(),
}


def test_defaults_open_nothing() -> None:
    settings = InspectorSettings()
    assert {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "allowed"} == STRICT


def test_clients_of_private_networks_are_allowed_and_no_others() -> None:
    def allowed(text: str) -> bool:
        return any(ip_address(text) in network for network in InspectorSettings().allowed)

    inside = ("127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1")
    outside = ("8.8.8.8", "172.32.0.1", "169.254.1.1", "100.64.0.1", "2001:db8::1", "fe80::1")
    assert [text for text in inside if not allowed(text)] == []
    assert [text for text in outside if allowed(text)] == []


def test_every_limit_bounds_something() -> None:
    limits = Limits()
    assert [f.name for f in fields(limits) if not getattr(limits, f.name) > 0] == []
    assert limits.max_hello_bytes <= MAX_HELLO_BYTES
    assert limits.read_bytes <= 131072  # malloc maps larger buffers anew each time
    assert limits.hello_s < limits.handshake_s <= limits.dial_s < limits.body_idle_s <= limits.response_idle_s
