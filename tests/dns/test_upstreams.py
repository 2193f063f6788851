from ipaddress import ip_address
from pathlib import Path

import pytest

from steering_dns.upstreams import (
    UpstreamError,
    load_system_upstreams,
    parse_resolv_conf,
    parse_upstream,
    refuse_ourselves,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "udp://192.0.2.1:53"),
        ("udp://192.0.2.1:5353", "udp://192.0.2.1:5353"),
        ("tcp://[2001:db8::1]", "tcp://[2001:db8::1]:53"),
        ("udp://[::ffff:127.0.0.1]:8053", "udp://127.0.0.1:8053"),
        ("tls://192.0.2.1#dns.example", "tls://192.0.2.1:853#dns.example"),
        ("tls://192.0.2.1", "tls://192.0.2.1:853#192.0.2.1"),
        ("https://192.0.2.1#dns.example", "https://192.0.2.1:443/dns-query#dns.example"),
        ("https://192.0.2.1:8443/q#dns.example", "https://192.0.2.1:8443/q#dns.example"),
    ],
)
def test_spellings(text: str, canonical: str) -> None:
    assert str(parse_upstream(text)) == canonical
    assert parse_upstream(canonical) == parse_upstream(text)


@pytest.mark.parametrize(
    "text",
    ["", "dns.example", "quic://192.0.2.1", "udp://dns.example", "udp://192.0.2.1:99999", "udp://192.0.2.1#x",
     "udp://192.0.2.1/x", "https://u:p@192.0.2.1/", "udp://"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UpstreamError):
        parse_upstream(text)


def test_resolv_conf(tmp_path: Path) -> None:
    lines = ("# c", "192.0.2.1", "fe80::1%eth0", "nonsense", "", "192.0.2.1", "::ffff:192.0.2.1")
    text = "search a\n" + "\n".join(f"nameserver {line}" for line in lines)
    assert [str(u) for u in parse_resolv_conf(text)] == ["udp://192.0.2.1:53", "udp://[fe80::1%eth0]:53"]
    path = tmp_path / "resolv.conf"
    for content in (None, "search a"):
        if content:
            path.write_text(content)
        with pytest.raises(UpstreamError, match="set upstreams"):
            load_system_upstreams(path)


@pytest.mark.parametrize(
    ("listen", "upstream", "refused"),
    [
        ("127.0.0.1", "udp://127.0.0.1:53", True),
        ("127.0.0.1", "udp://127.0.0.1:54", False),
        ("127.0.0.1", "udp://[::ffff:127.0.0.1]:53", True),
        ("::", "udp://127.0.0.1:53", True),
        ("::1", "udp://[::1]:53", True),
        ("127.0.0.1", "tls://127.0.0.1:53#x", True),
        ("127.0.0.1", "udp://127.0.0.53:53", False),
        ("0.0.0.0", "tcp://127.0.0.53:53", True),
        ("0.0.0.0", "udp://192.0.2.9:53", True),
        ("0.0.0.0", "udp://192.0.2.8:53", False),
    ],
)
def test_never_ourselves(listen: str, upstream: str, refused: bool) -> None:
    given = [parse_upstream(upstream)], [(ip_address(listen), 53)], [ip_address("192.0.2.9")]
    if refused:
        with pytest.raises(UpstreamError, match="itself"):
            refuse_ourselves(*given)
    else:
        refuse_ourselves(*given)
