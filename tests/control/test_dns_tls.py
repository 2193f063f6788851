"""The certificate of DNS over TLS and HTTPS, and a whole service that shows it to real clients."""

import asyncio
import json
import socket
import ssl
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.query
import pytest
from cryptography import x509

from steering.control.config import load_config
from steering.control.dns_tls import DnsCertificate, discovery_of, hosts_of, reached_at
from steering.control.errors import ConfigError
from steering.control.listening import Listener, Role
from steering.control.points import start_points
from steering.policy import RulesModel, compile_policy, rule_set
from steering.policy.hosts import parse_host
from steering.policy.live import Live
from steering_dns.settings import Discovery, DnsSettings
from steering_inspector.authority import Authority, mint, new_authority
from steering_inspector.settings import InspectorSettings
from tests.dns.secure import certificate
from tests.service import world

DAY = 86_400.0
NOW = time.time()


def listening(**places: tuple[str, int]) -> dict[Role, Listener]:
    return {Role[name]: Listener(role=Role[name], host=h, port=p, sockets=()) for name, (h, p) in places.items()}


LISTENERS = listening(DNS_UDP=("192.0.2.53", 53), DNS_TLS=("192.0.2.53", 853), DNS_HTTPS=("2001:db8::53", 8443))


def certificate_of(folder: Path, authority: list[Authority | None], **dns_section: str) -> DnsCertificate:
    file = folder / "steering.toml"
    file.write_text("[dns]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in dns_section.items()))
    hosts = hosts_of(["dns.example"], LISTENERS)
    return DnsCertificate(load_config(file, {}), hosts, lambda: authority[0], "http://steering.example/ca.crl")


def named_in(made: x509.Certificate) -> list[str]:
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def test_a_leaf_of_ours_is_for_names_and_addresses_and_renewed_in_time(tmp_path: Path) -> None:
    authority: list[Authority | None] = [new_authority(NOW, name="one")]
    shown = certificate_of(tmp_path, authority)
    assert shown.renew(NOW) is shown.identity is not None
    first = shown.certificate
    assert named_in(first) == ["dns.example", "192.0.2.53", "2001:db8::53"]
    assert (first.not_valid_after_utc - first.not_valid_before_utc).days <= 90
    assert authority[0] is not None
    first.verify_directly_issued_by(authority[0].certificate)
    assert shown.renew(NOW + DAY) is None
    assert shown.renew(NOW + 18.9 * DAY) is None
    assert shown.renew(NOW + 19.1 * DAY) is not None  # two thirds of 30 days, of which one is past at the start
    authority[0] = new_authority(NOW, name="two")
    assert shown.renew(NOW + 19.1 * DAY) is not None
    shown.certificate.verify_directly_issued_by(authority[0].certificate)
    authority[0] = None
    kept = shown.identity
    assert shown.renew(NOW + 50 * DAY) is None
    assert shown.identity is kept


def test_without_ca_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set dns\.certificate and dns\.key"):
        certificate_of(tmp_path, [None]).renew(NOW)


def test_given_files_are_shown_as_they_are_and_again_when_they_change(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "dns.test")
    shown = certificate_of(tmp_path, [None], certificate=cert.name, key=key.name)
    first = shown.renew(NOW)
    assert first is not None
    assert named_in(shown.certificate) == ["dns.test"]
    assert shown.renew(NOW) is None
    kept = cert.read_bytes()
    cert.write_bytes(b"broken")
    assert shown.renew(NOW) is None  # half of a renewal: the old one is still shown
    assert shown.identity == first
    certificate(tmp_path, "other.test")
    assert shown.renew(NOW) is not None
    cert.write_bytes(kept)  # of another key
    assert shown.renew(NOW) is None
    assert named_in(shown.certificate) == ["other.test"]


def test_given_files_that_cannot_be_used_are_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dns\.certificate, dns\.key: .*missing\.pem.* cannot be used"):
        certificate_of(tmp_path, [None], certificate="missing.pem", key="missing.pem").renew(NOW)
    for alone in ({"key": "x"}, {"certificate": "x"}):
        with pytest.raises(ConfigError, match=r"dns\.certificate and dns\.key belong together"):
            certificate_of(tmp_path, [None], **alone).renew(NOW)


def test_where_the_resolver_is_reached() -> None:
    assert list(map(str, reached_at(LISTENERS))) == ["192.0.2.53", "2001:db8::53"]
    everywhere = reached_at(listening(DNS_TLS=("0.0.0.0", 853)))
    assert ip_address("127.0.0.1") in everywhere
    assert {address.version for address in everywhere} == {4}
    assert reached_at({}) == ()


def issued(*hosts: str) -> x509.Certificate:
    authority = new_authority(NOW, name="x")
    first, *others = map(parse_host, hosts)
    return mint(authority, first, authority.key.public_key(), NOW, also=others)


def test_clients_are_told_only_what_the_certificate_proves() -> None:
    found = discovery_of(issued("dns.example", "192.0.2.53", "192.0.2.54"), LISTENERS)
    address = ip_address("192.0.2.53")
    assert found == Discovery(name="dns.example", addresses=(address,), tls_port=853, https_port=8443)
    only = discovery_of(issued("192.0.2.53", "dns.example"), listening(DNS_TLS=("192.0.2.53", 853)))
    assert only == Discovery(name="dns.example", addresses=(address,), tls_port=853, https_port=0)
    for useless in (issued("192.0.2.53"), issued("dns.example"), issued("dns.example", "192.0.2.1")):
        assert discovery_of(useless, LISTENERS) is None


@pytest.mark.needs("kdig", "curl")
async def test_a_service_answers_over_tls_and_https_with_a_certificate_of_its_ca(tmp_path: Path) -> None:
    secure = {"tls_listen": "127.0.0.1:0", "https_listen": "127.0.0.1:0", "server_names": ["dns.example"]}
    async with world(tmp_path, settings={"dns": secure}) as at:

        def run(*command: str) -> str:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            return " ".join((done.stdout + done.stderr).split())

        def try_all() -> None:
            roles = (Role.DNS_UDP, Role.DNS_TLS, Role.DNS_HTTPS)
            udp, tls, https = (at.service.addresses[role.value].rpartition(":")[2] for role in roles)
            ca = f"+tls-ca={at.service.ca}"
            for hostname in ("dns.example", "127.0.0.1"):
                asked = ("@127.0.0.1", ca, f"+tls-hostname={hostname}", "www.example")
                assert "EDE: 4" in run("kdig", *asked, "+tls", "+edns", "-p", tls)
                assert "status: NOERROR" in run("kdig", *asked, "+https", "-p", https)
            doh = ("--doh-url", f"https://127.0.0.1:{https}/dns-query", "--cacert", str(at.service.ca))
            assert "127.0.0.1" in run("curl", "-sv", "--max-time", "5", *doh, f"http://pinned.example:{at.plain.port}/")
            query = dns.message.make_query("_dns.resolver.arpa", "SVCB")
            records = dns.query.udp(query, "127.0.0.1", 5, int(udp)).answer[0]
            assert sorted(str(record).replace("key7", "dohpath") for record in records) == [
                f'1 dns.example. alpn="h2,http/1.1" port="{https}" ipv4hint="127.0.0.1" dohpath="/dns-query{{?dns}}"',
                f'2 dns.example. alpn="dot" port="{tls}" ipv4hint="127.0.0.1"',
            ]

        await asyncio.to_thread(try_all)


async def test_without_its_ca_a_service_goes_on_without_them(tmp_path: Path) -> None:
    secure = {"tls_listen": "127.0.0.1:0", "https_listen": "127.0.0.1:0"}
    async with world(tmp_path, settings={"dns": secure}, start=False) as at:
        (at.service.state / "ca").mkdir(parents=True)
        (at.service.state / "ca" / "ca.key").write_text("broken")
        await asyncio.to_thread(at.service.start)
        status = await asyncio.to_thread(at.service.status)
        assert Role.DNS_TLS.value not in status["addresses"]
        assert any("DNS over TLS and HTTPS are not served" in warning for warning in status["warnings"])
        port = int(at.service.addresses[Role.DNS_UDP.value].rpartition(":")[2])
        reply = await asyncio.to_thread(dns.query.udp, dns.message.make_query("www.example", "A"), "127.0.0.1", 5, port)
        assert reply.rcode() == 0


async def test_workers_show_what_they_are_told(tmp_path: Path) -> None:
    """Without a restart: a context is given another certificate."""
    authority: list[Authority | None] = [new_authority(NOW, name="one")]
    shown = certificate_of(tmp_path, authority)
    first = shown.renew(NOW)
    second = shown.renew(NOW + 20 * DAY)
    assert first is not None and second is not None
    live = Live(compile_policy(rule_set(RulesModel(rules=[]))))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        points = await start_points(
            dns=DnsSettings(inspector_addresses=(), upstreams=()),
            inspector=InspectorSettings(),
            trust=(),
            sockets={Role.DNS_TLS: [sock]},
            live=live,
            authority=None,
            crl_url="",
            sink=lambda line: None,
            dns_identity=first,
        )
        seen = []
        for identity in (None, second):
            if identity is not None:
                points.show_resolver(identity)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            _, writer = await asyncio.open_connection(*sock.getsockname(), ssl=context)
            seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.close()
        await points.drain(1)
    expected = [x509.load_pem_x509_certificate(each.chain_pem) for each in (first, second)]
    assert [x509.load_der_x509_certificate(der) for der in seen] == expected
