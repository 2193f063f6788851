"""The TLS side of listeners for helpers: shows a certificate of the device CA, and takes only its own."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from steering.control.device_authority import DeviceAuthority, load_device_authority
from steering.control.endpoint_tls import EndpointTls, context_of, show
from steering.endpoint.device import Credential, client_context, save, trusting
from tests.control.helpers import new_key

DEVICE = "ab" * 16


def credential(folder: Path, authority: DeviceAuthority, trusted: DeviceAuthority | None = None) -> ssl.SSLContext:
    """A device's context.  trusted: whom it takes for the service, by default ``authority``."""
    key = new_key()
    made = Credential(
        device_id=DEVICE,
        group="",
        key=key,
        certificate=authority.issue_device(key.public_key(), DEVICE, "sales", time.time()),
        authority_pem=(trusted or authority).pem,
        service_url="https://127.0.0.1:1",
    )
    save(folder, made)
    return client_context(folder, made)


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Answers each line with the subject of who asks."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            subject = (writer.get_extra_info("peercert") or {}).get("subject", ())
            writer.write(" ".join(f"{key}={value}" for part in subject for key, value in part).encode() + b"\n")
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def asked(port: int, context: ssl.SSLContext, name: str = "127.0.0.1") -> str:
    """Who the listener says we are; the error's name where there is no connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.write(b"\n")
        line = await reader.readline()
        writer.close()
        return line.decode().strip() if line else "closed"
    except OSError as exc:
        return getattr(exc, "reason", None) or type(exc).__name__


@pytest.mark.parametrize("required", [False, True])
async def test_who_is_let_in(tmp_path: Path, required: bool) -> None:
    authority = load_device_authority(tmp_path, time.time())
    (tmp_path / "other").mkdir()
    other = load_device_authority(tmp_path / "other", time.time())
    tls = EndpointTls(authority_pem=authority.pem, identity=authority.issue_server(["127.0.0.1"], time.time()))
    async with listening(context_of(tls, required=required)) as port:
        ours = f"commonName={DEVICE} organizationalUnitName=sales"
        assert await asked(port, credential(tmp_path / "1", authority)) == ours
        nobody = await asked(port, trusting(authority.pem.decode()))
        assert (nobody == "") is not required
        stranger = credential(tmp_path / "2", other, trusted=authority)
        assert await asked(port, stranger) not in ("", ours), "a certificate of another CA never gets through"
        assert await asked(port, credential(tmp_path / "3", other)) == "CERTIFICATE_VERIFY_FAILED"
        wrong = await asked(port, credential(tmp_path / "4", authority), "steering.example")
        assert wrong == "CERTIFICATE_VERIFY_FAILED", "the name counts"


async def test_a_listeners_own_certificate_is_no_devices(tmp_path: Path) -> None:
    authority = load_device_authority(tmp_path, time.time())
    identity = authority.issue_server(["127.0.0.1"], time.time())
    (tmp_path / "stolen.pem").write_bytes(identity.key_pem + identity.chain_pem)
    thief = trusting(authority.pem.decode())
    thief.load_cert_chain(tmp_path / "stolen.pem")
    async with listening(context_of(EndpointTls(authority_pem=authority.pem, identity=identity), required=True)) as at:
        assert not (await asked(at, thief)).startswith("commonName")


async def test_a_renewed_certificate_is_shown_from_the_next_handshake_on(tmp_path: Path) -> None:
    authority = load_device_authority(tmp_path, time.time())
    tls = EndpointTls(authority_pem=authority.pem, identity=authority.issue_server(["old.example"], time.time()))
    context, helper = context_of(tls, required=True), credential(tmp_path / "1", authority)
    async with listening(context) as port:
        assert (await asked(port, helper, "old.example")).startswith("commonName")
        show(context, authority.issue_server(["new.example"], time.time()))
        assert (await asked(port, helper, "new.example")).startswith("commonName")
        assert await asked(port, helper, "old.example") == "CERTIFICATE_VERIFY_FAILED"


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """A handshake in memory; the client's side of it, after the server has said something."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(up, down, server_side=True)
    here = client.wrap_bio(down, up, server_hostname="127.0.0.1", session=session)
    for _ in range(4):
        for side in (here, there):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    there.write(b"x")
    assert here.read(1) == b"x"
    return here


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """It would bring back a certificate that is not verified again."""
    authority = load_device_authority(tmp_path, time.time())
    tls = EndpointTls(authority_pem=authority.pem, identity=authority.issue_server(["127.0.0.1"], time.time()))
    server, client = context_of(tls, required=True), credential(tmp_path / "1", authority)
    client.maximum_version = version
    first = _shake(server, client, None)
    assert first.session is not None and not first.session.has_ticket
    assert not _shake(server, client, first.session).session_reused
