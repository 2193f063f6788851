"""Which names and programs are not one owner's."""

import pytest

from steering.policy.lint_shared import INTERPRETERS, SHARED_ZONES, shared_suffix
from steering.policy.suffixes import is_icann_suffix


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("akadns.net", "'akadns.net' is Akamai's DNS zone for its customers"),
        ("blob.core.windows.net", "'blob.core.windows.net' is Microsoft's storage for its customers"),
        ("cloudfront.net", "'cloudfront.net' is Amazon's zone for its customers"),
        ("blogspot.com", "below 'blogspot.com' a provider's customers get names of their own"),
        ("digitaloceanspaces.com", "below 'digitaloceanspaces.com' a provider's customers get names of their own"),
        ("elb.amazonaws.com", "below 'elb.amazonaws.com' a provider's customers get names of their own"),
        ("d111.cloudfront.net", None),
        ("account.blob.core.windows.net", None),
        ("zoom.us", None),
        ("microsoft.com", None),
        ("google.com", None),
        ("apple.com", None),
        ("notakadns.net", None),
    ],
)
def test_shared_suffix(name: str, shared: str | None) -> None:
    assert shared_suffix(name) == shared


def test_the_zones_are_names_that_a_rule_may_hold() -> None:
    assert [zone for zone in SHARED_ZONES if is_icann_suffix(zone) or zone != zone.lower()] == []


def test_the_interpreters_of_the_semantics_are_listed() -> None:
    assert {"python", "node", "java", "electron", "svchost", "msedgewebview2"} <= INTERPRETERS
    assert [
        name for name in INTERPRETERS if name != name.casefold().removesuffix(".exe")
    ] == []  # as they are looked up
