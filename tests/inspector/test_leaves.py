"""Server contexts: one a host, kept, replaced in time, with a key that is not the CA's."""

import ssl

import pytest
from cryptography import x509

from steering_inspector.authority import new_authority
from steering_inspector.leaves import LeafContexts
from tests.inspector.openssl import pem

NOW = 1_800_000_000.0
DAY = 86400.0
CA = new_authority(NOW, name="test CA")


def handshake(server: ssl.SSLContext, host: str, **client: bool) -> tuple[x509.Certificate, ssl.SSLObject]:
    """What a client that verifies nothing is shown, and its side of the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client.get("h1", True):
        context.set_alpn_protocols(["h2", "http/1.1"])
    if client.get("tls12"):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context.wrap_bio(to_client, to_server, server_hostname=host)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    done = 0
    while done < 2:
        done = 0
        for side in (one, two):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
    der = one.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der), one


@pytest.mark.parametrize("host", ["www.example", "192.0.2.7", "2001:db8::7", "a" * 60 + ".long.example"])
def test_a_context_shows_a_leaf_for_its_host(host: str) -> None:
    leaf, _ = handshake(LeafContexts(CA, crl_url="http://a.example/ca.crl").get(host, NOW), host)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in san] == [host]
    leaf.verify_directly_issued_by(CA.certificate)
    assert leaf.public_key() != CA.key.public_key()
    assert leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints)


@pytest.mark.parametrize(
    ("client", "version", "alpn"),
    [({}, "TLSv1.3", "http/1.1"), ({"tls12": True}, "TLSv1.2", "http/1.1"), ({"h1": False}, "TLSv1.3", None)],
)
def test_http1_alone_is_offered(client: dict[str, bool], version: str, alpn: str | None) -> None:
    _, tls = handshake(LeafContexts(CA).get("www.example", NOW), "www.example", **client)
    assert (tls.version(), tls.selected_alpn_protocol()) == (version, alpn)


def test_old_tls_is_not_spoken() -> None:
    assert LeafContexts(CA).get("www.example", NOW).minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(("after_s", "minted"), [(19 * DAY - 1, 1), (19 * DAY, 2), (30 * DAY, 2)])
def test_a_leaf_is_kept_for_two_thirds_of_its_life(after_s: float, minted: int) -> None:
    leaves = LeafContexts(CA)
    first = leaves.get("www.example", NOW)
    again = leaves.get("www.example", NOW + after_s)
    assert (leaves.minted, again is first, len(leaves)) == (minted, minted == 1, 1)


@pytest.mark.parametrize(("others", "minted"), [(1, 3), (2, 4), (3, 6)])
def test_the_hosts_asked_for_last_are_kept(others: int, minted: int) -> None:
    """With room for three, the first is still there after two others."""
    leaves = LeafContexts(CA, size=3)
    for host in ["first.example", *(f"{n}.example" for n in range(others)), "first.example"]:
        leaves.get(host, NOW)
    leaves.get("last.example", NOW)
    assert (leaves.minted, len(leaves)) == (minted, 3)


def test_each_process_has_a_key_of_its_own() -> None:
    keys = {pem(handshake(LeafContexts(CA).get("a.example", NOW), "a.example")[0]) for _ in range(2)}
    assert len(keys) == 2
    one = LeafContexts(CA)
    assert one.authority_id == CA.id
    first, second = (handshake(one.get(host, NOW), host)[0] for host in ("a.example", "b.example"))
    assert first.public_key() == second.public_key()


def test_a_session_of_one_host_is_not_resumed_for_another() -> None:
    leaves = LeafContexts(CA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session: ssl.SSLSession | None = None
    reused = []
    for host in ("a.example", "a.example", "b.example"):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        one = context.wrap_bio(to_client, to_server, server_hostname=host, session=session)
        two = leaves.get(host, NOW).wrap_bio(to_server, to_client, server_side=True)
        done = 0
        while done < 2:
            done = 0
            for side in (one, two):
                try:
                    side.do_handshake()
                    done += 1
                except ssl.SSLWantReadError:
                    continue
        reused.append(one.session_reused)
        session = one.session
    assert reused == [False, True, False]
