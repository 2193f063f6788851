"""What a name means elsewhere, in our grammar."""

import pytest

from steering.imports.dialects import squid_entry
from steering.policy.domains import parse_domain

SQUID = [
    (".example.com", ["example.com", "a.example.com", "a.b.example.com"], ["aexample.com", "com"]),
    ("example.com", ["example.com"], ["a.example.com", "aexample.com"]),
    ("EXAMPLE.com", ["example.com"], ["a.example.com"]),
]


@pytest.mark.parametrize(("value", "within", "outside"), SQUID)
def test_squid(value: str, within: list[str], outside: list[str]) -> None:
    domain = parse_domain(squid_entry(value))
    assert [domain.matches(name) for name in within] == [True] * len(within)
    assert [domain.matches(name) for name in outside] == [False] * len(outside)
