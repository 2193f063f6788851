"""The guard as the pool of origin connections asks it."""

from ipaddress import ip_address, ip_network

import pytest

from steering_inspector.guard import destination_guard, is_of_this_machine
from steering_inspector.settings import InspectorSettings

OPENED = InspectorSettings(allow_destinations=(ip_network("127.0.0.0/8"), ip_network("::1/128")))


@pytest.mark.parametrize(
    ("settings", "address", "guarded", "expected"),
    [
        (InspectorSettings(), "8.8.8.8", False, None),
        (InspectorSettings(), "127.0.0.1", False, "loopback"),
        (OPENED, "127.0.0.1", False, None),
        (OPENED, "8.8.8.8", False, None),
        # A reserved name that is opened up leads to what is opened up, and nowhere else.
        (OPENED, "127.0.0.1", True, None),
        (OPENED, "::ffff:127.0.0.1", True, None),
        (OPENED, "8.8.8.8", True, "outside of what is opened up for reserved names"),
        (OPENED, "10.0.0.1", True, "private"),
    ],
)
def test_opened_up_networks(settings: InspectorSettings, address: str, guarded: bool, expected: str | None) -> None:
    guard = destination_guard(settings, frozenset)
    assert guard(ip_address(address), 443, guarded) == expected


def test_listeners_are_asked_for_at_each_dial() -> None:
    own: set[tuple[str, int]] = set()
    guard = destination_guard(OPENED, lambda: frozenset(own))
    assert guard(ip_address("127.0.0.1"), 8080, False) is None
    own.add(("127.0.0.1", 8080))
    assert guard(ip_address("127.0.0.1"), 8080, False) == "own listener"


def test_a_wildcard_listener_is_known_by_any_address_of_this_machine() -> None:
    guard = destination_guard(OPENED, lambda: frozenset({("0.0.0.0", 8080)}))
    assert guard(ip_address("127.9.9.9"), 8080, False) == "own listener"
    assert guard(ip_address("127.9.9.9"), 8081, False) is None


@pytest.mark.parametrize(
    ("address", "ours"),
    [("127.0.0.1", True), ("127.1.2.3", False), ("192.0.2.1", False), ("2001:db8::1", False)],
)
def test_addresses_of_this_machine(address: str, ours: bool) -> None:
    assert is_of_this_machine(ip_address(address)) is ours
