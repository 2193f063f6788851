"""Where the helper listens: on this computer alone."""

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.settings import EndpointSettings, Limits, parse_listen


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:3129", ("127.0.0.1", 3129)),
        ("127.0.0.2:0", ("127.0.0.2", 0)),
        ("[::1]:65535", ("::1", 65535)),
        (EndpointSettings().listen, ("127.0.0.1", 3129)),
        (EndpointSettings().transparent_listen, ("127.0.0.1", 15001)),
    ],
)
def test_a_place_to_listen(text: str, place: tuple[str, int]) -> None:
    assert parse_listen(text) == place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write ADDRESS:PORT"),
        ("3129", "write ADDRESS:PORT"),
        (":3129", "write ADDRESS:PORT"),
        ("localhost:3129", "write ADDRESS:PORT"),
        ("127.0.0.1", "write ADDRESS:PORT"),
        ("127.0.0.1:", "write ADDRESS:PORT"),
        ("127.0.0.1:+1", "write ADDRESS:PORT"),
        ("127.0.0.1:1_0", "write ADDRESS:PORT"),
        ("127.0.0.1:-1", "write ADDRESS:PORT"),
        ("::1:3129", "write ADDRESS:PORT"),
        ("[127.0.0.1]:3129", "write ADDRESS:PORT"),
        ("127.0.0.1:65536", "65536 is no port"),
        ("127.0.0.1:999999", "999999 is no port"),
        ("0.0.0.0:3129", "name a loopback address"),
        ("[::]:3129", "name a loopback address"),
        ("192.0.2.1:3129", "name a loopback address"),
    ],
)
def test_no_place_to_listen(text: str, why: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_listen(text)
    assert why in str(caught.value)


def test_what_lasts_is_looked_at_often_enough() -> None:
    """Within a minute, by the design; the clock ticks twice a second."""
    assert Limits().sweep_s + 0.5 < 60
