"""What all connections share: who we are, what is known of a client, and what leads back to ourselves."""

from ipaddress import ip_address

import pytest

from steering.endpoint.decide import Facts
from steering.endpoint.identify.identity import Identity
from steering.endpoint.proxy.works import Attester, reached
from steering.formats.attestation import verify
from steering.policy import UNSEEN, Program, System
from tests.endpoint.proxy.devices import DEVICE, GROUP, device
from tests.endpoint.proxy.rig import CURL, NOBODY, running


@pytest.mark.parametrize(
    ("address", "ends"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:0.0.0.0", "127.0.0.1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_where_a_connection_ends(address: str, ends: str) -> None:
    assert reached(ip_address(address)) == ip_address(ends)


@pytest.mark.parametrize(
    ("identity", "user", "program"),
    [
        (None, UNSEEN, UNSEEN),
        (CURL, "alice", Program(system=System.LINUX, names=("curl",))),
        (NOBODY, "alice", UNSEEN),
        (Identity(system=System.LINUX, names=("x",)), UNSEEN, Program(system=System.LINUX, names=("x",))),
    ],
)
async def test_facts(identity: Identity | None, user: object, program: object) -> None:
    async with running(bundle=False) as rig:
        assert rig.works.facts(identity) == Facts(
            source=UNSEEN,
            user=user,  # type: ignore[arg-type]
            groups=frozenset({GROUP}),
            program=program,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("identity", [CURL, NOBODY, None])
def test_what_is_attested(identity: Identity | None) -> None:
    token = Attester(device_id=DEVICE, group=GROUP, key=device().key).token("a.example:443", "n", "r", identity, 5.0)
    claims = verify(token, device().key.public_key(), device=DEVICE, authority="a.example:443", nonce="n", now=5.0)
    assert (claims.revision, claims.program) == ("r", identity.program if identity else UNSEEN)
