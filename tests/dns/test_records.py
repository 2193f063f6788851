from ipaddress import ip_address

import dns.message

from steering_dns import records, wire
from steering_dns.settings import Discovery

QUERY = wire.Query(b"\0\0", 1, b"\1a\0", 1, 1, b"\1a\0\0\1\0\1", None)


def shown(sections: bytes, answers: int) -> list[str]:
    return [str(s) for s in dns.message.from_wire(wire.render(QUERY, 0, sections, answers=answers)).answer]


def test_records_are_what_dnspython_reads() -> None:
    both = [ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("2001:db8::1")]
    assert shown(*records.addresses(both, 4, 30)) == ["a. 30 IN A 192.0.2.1\na. 30 IN A 192.0.2.2"]
    assert shown(*records.addresses(both, 6, 30)) == ["a. 30 IN AAAA 2001:db8::1"]
    assert records.addresses([], 4, 30) == (b"", 0)
    assert shown(records.soa(30), 1) == ["a. 30 IN SOA steering.invalid. nobody.steering.invalid. 1 3600 600 86400 30"]
    assert shown(records.minimal_any(30), 1) == ['a. 30 IN HINFO "RFC8482" ""']
    assert shown(records.text("x"), 1) == ['a. 0 IN TXT "x"']
    assert shown(records.text("x", chaos=True), 1) == ['a. 0 CH TXT "x"']


def test_designated_resolvers_are_what_dnspython_reads() -> None:
    addresses = tuple(map(ip_address, ("192.0.2.53", "2001:db8::53", "192.0.2.54")))
    usual = Discovery(name="dns.example", addresses=addresses, tls_port=853, https_port=443)
    hints = 'ipv4hint="192.0.2.53,192.0.2.54" ipv6hint="2001:db8::53"'
    lines = shown(*records.designated(usual, 30))[0].replace("key7", "dohpath").splitlines()  # as versions call it
    assert lines == [
        f'a. 30 IN SVCB 1 dns.example. alpn="h2,http/1.1" {hints} dohpath="/dns-query{{?dns}}"',
        f'a. 30 IN SVCB 2 dns.example. alpn="dot" {hints}',
    ]
    other = Discovery(name="dns.example", addresses=addresses[:1], tls_port=8853, https_port=0)
    assert shown(*records.designated(other, 30)) == [
        'a. 30 IN SVCB 2 dns.example. alpn="dot" port="8853" ipv4hint="192.0.2.53"'
    ]
