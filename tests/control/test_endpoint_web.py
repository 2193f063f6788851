"""What helpers may ask, who may ask it, and that a revoked device is refused from the same moment on."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from steering.control import endpoint_web
from steering.control.endpoint_web import MAX_REQUEST_BYTES, PIECE_BYTES, may_keep
from steering.control.enrolment import MAX_FAILURES
from steering.endpoint import device
from steering.endpoint.device import client_context, trusting
from steering.endpoint.enrol import request_for
from steering.endpoint.errors import ServiceRefused, ServiceUnreachable
from steering.endpoint.service_link import ServiceLink
from tests.control.helpers import anonymous_link, helpers_rig, link_of, new_key, opened
from tests.kit import eventually
from tests.service import RULES


async def refused(
    link: ServiceLink, method: str, path: str, body: Mapping[str, object] | None = None
) -> tuple[int, str]:
    """Code and words of the refusal."""
    with pytest.raises(ServiceRefused) as caught:
        await (link.get(path) if method == "GET" else link.post(path, body or {}))
    return caught.value.status, str(caught.value)


# Enrolling


async def test_a_device_is_let_in_and_known(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, anonymous_link(rig) as link:
        token = await rig.parsed_token(group="sales")
        asked = {"token": token.secret, "csr": request_for(new_key()), "name": "laptop", "system": "Linux"}
        answer = await link.post("/enrol", asked)
        certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
        (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        assert name.value == answer["device_id"] and len(answer["device_id"]) == 32
        assert (answer["group"], answer["url"], answer["authority"]) == ("sales", rig.url, rig.authority_pem())
        (row,) = rig.endpoints.listed()["devices"]
        assert (row["device_id"], row["name"], row["system"]) == (answer["device_id"], "laptop", "Linux")
        assert row["ends_at"] == certificate.not_valid_after_utc.timestamp()
        assert answer["device_id"] in rig.state.devices.read_text()
        assert await refused(link, "POST", "/enrol", asked) == (
            403,
            "this enrolment token has been used up: ask for a new one",
        )


# Body -> code and a part of what is said.  "TOKEN" and "CSR" stand for good ones.
ENROLMENTS: list[tuple[dict[str, object], int, str]] = [
    ({}, 400, "token: Field required"),
    ({"token": "TOKEN"}, 400, "csr: Field required"),
    ({"token": "TOKEN", "csr": "x"}, 400, "no certificate signing request"),
    ({"token": "TOKEN", "csr": "CSR", "name": "n" * 1025}, 400, "name: String should have at most 1024"),
    ({"token": "t" * 257, "csr": "CSR"}, 400, "token: String should have at most 256"),
    ({"token": 5, "csr": "CSR"}, 400, "token: Input should be a valid string"),
    ({"token": "t" * 256, "csr": "CSR"}, 403, "not known here"),
    ({"token": "", "csr": "CSR"}, 403, "not known here"),
]


@pytest.mark.parametrize(("body", "code", "said"), ENROLMENTS)
async def test_enrolments_that_are_refused(tmp_path: Path, body: dict[str, object], code: int, said: str) -> None:
    async with helpers_rig(tmp_path / "service") as rig, anonymous_link(rig) as link:
        good = {"TOKEN": (await rig.parsed_token()).secret, "CSR": request_for(new_key())}
        status, words = await refused(link, "POST", "/enrol", {k: good.get(str(v), v) for k, v in body.items()})
        assert (status, said in words) == (code, True), words
        assert await link.post("/enrol", {"token": good["TOKEN"], "csr": good["CSR"]}), "no use was lost by it"


async def test_an_expired_token(tmp_path: Path) -> None:
    clock = [time.time()]
    async with helpers_rig(tmp_path / "service", clock=lambda: clock[0]) as rig, anonymous_link(rig) as link:
        token = await rig.parsed_token(hours=2.0)
        clock[0] += 7200
        status, words = await refused(link, "POST", "/enrol", {"token": token.secret, "csr": request_for(new_key())})
        assert (status, "has expired" in words) == (403, True)


async def test_who_guesses_waits(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, anonymous_link(rig) as link:
        guess = {"token": "guess", "csr": request_for(new_key())}
        codes = [(await refused(link, "POST", "/enrol", guess))[0] for _ in range(MAX_FAILURES + 1)]
        assert codes == [403] * MAX_FAILURES + [429]
        good = {"token": (await rig.parsed_token()).secret, "csr": request_for(new_key())}
        assert (await refused(link, "POST", "/enrol", good))[0] == 429
        assert rig.endpoints.counters()["endpoint:refused:403"] == MAX_FAILURES


async def test_a_body_that_is_too_long(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, anonymous_link(rig) as link:
        with pytest.raises(ServiceUnreachable, match="413"):
            await link.post("/enrol", {"token": "x" * MAX_REQUEST_BYTES})


@pytest.mark.parametrize("sent", ["", "{", '{"token": "x"'])
async def test_who_begins_a_body_and_never_ends_it_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(endpoint_web, "BODY_S", 0.2)
    async with helpers_rig(tmp_path / "service") as rig:
        host, port = rig.url.removeprefix("https://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=trusting(rig.authority_pem()))
        writer.write(f"POST /enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{sent}".encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()


# Everything else is for devices

ASKED = [
    ("POST", "/renew", {"csr": "x"}),
    ("POST", "/heartbeat", {}),
    ("GET", "/bundle/metadata/timestamp.json", None),
    ("GET", "/events", None),
    ("GET", "/nothing", None),
]


async def test_helpers_may_not_take_every_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_web, "MAX_CONNECTIONS", 2)
    async with helpers_rig(tmp_path / "service") as rig, AsyncExitStack() as stack:
        host, port = rig.url.removeprefix("https://").split(":")
        context, held = trusting(rig.authority_pem()), list[asyncio.StreamReader]()

        async def is_served() -> bool:
            """On a connection that stays open."""
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            held.append(reader)  # asyncio aborts a connection whose reader is forgotten
            stack.callback(writer.close)
            with suppress(OSError):
                writer.write(b"GET /authority HTTP/1.1\r\nHost: x\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            return False

        assert [await is_served() for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
async def test_who_shows_no_certificate_is_refused(
    tmp_path: Path, method: str, path: str, body: dict[str, object] | None
) -> None:
    async with helpers_rig(tmp_path / "service") as rig, anonymous_link(rig) as link:
        expected = (403, "this is for enrolled devices: show the device's certificate")
        assert await refused(link, method, path, body) == expected


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
async def test_who_was_revoked_is_refused_at_once_also_on_an_open_connection(
    tmp_path: Path, method: str, path: str, body: dict[str, object] | None
) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            assert (await link.post("/heartbeat", {}))["revoked"] is False
            assert await rig.endpoints.revoke(credential.device_id, rig.workers) == {"devices": 1, "tokens": 0}
            assert await refused(link, method, path, body) == (403, "this device has been revoked")
            with pytest.raises(ServiceRefused) as caught:
                await link.post("/heartbeat", {})
            assert caught.value.revoked


async def test_a_device_that_the_registry_has_lost_is_not_believed(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
    (tmp_path / "service" / "devices.json").unlink()
    port = int(rig.url.rpartition(":")[2])
    async with helpers_rig(tmp_path / "service", port=port), link_of(tmp_path / "helper") as link:
        with pytest.raises(ServiceRefused, match="not known here") as caught:
            await link.post("/heartbeat", {})
        assert caught.value.unknown


async def test_a_connection_does_not_outlive_the_certificate_that_opened_it(tmp_path: Path) -> None:
    clock = [time.time()]
    async with helpers_rig(tmp_path / "service", clock=lambda: clock[0]) as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            clock[0] = credential.certificate.not_valid_after_utc.timestamp() - 1
            assert await link.post("/heartbeat", {})
            clock[0] += 1
            assert await refused(link, "POST", "/heartbeat") == (
                403,
                "this device's certificate has expired: enrol it again",
            )


async def test_a_certificate_that_has_ended_gets_nowhere(tmp_path: Path) -> None:
    clock = [time.time() - 91 * 86400]
    async with helpers_rig(tmp_path / "service", clock=lambda: clock[0]) as rig:
        key, now = new_key(), clock[0]
        token = await rig.parsed_token()
        clock[0] = now
        async with opened(rig.url, _unverified()) as link:
            answer = await link.post("/enrol", {"token": token.secret, "csr": request_for(key)})
        made = device.Credential(
            device_id=answer["device_id"],
            group="",
            key=key,
            certificate=x509.load_pem_x509_certificate(answer["certificate"].encode()),
            authority_pem=answer["authority"].encode(),
            service_url=rig.url,
        )
        device.save(tmp_path / "helper", made)
        context = client_context(tmp_path / "helper", made)
        context.check_hostname = False
        async with opened(rig.url, context) as link:
            with pytest.raises(ServiceUnreachable):
                await link.post("/heartbeat", {})


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_renewal_keeps_device_and_group(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper", group="sales")
        async with link_of(tmp_path / "helper") as link:
            key = new_key()
            answer = await link.post("/renew", {"csr": request_for(key)})
            renewed = x509.load_pem_x509_certificate(answer["certificate"].encode())
            assert renewed.subject == credential.certificate.subject
            assert renewed.public_key() == key.public_key()
            assert (await refused(link, "POST", "/renew", {"csr": "x"}))[0] == 400


async def test_heartbeats_are_listed(tmp_path: Path) -> None:
    said: dict[str, object] = {
        "revision": "r1",
        "version": "0.1.0",
        "error": "no",
        "self_test": {"ok": True},
        "drift": {"proxy": "changed"},
        "counters": {"direct": 3},
    }
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            answer = await link.post("/heartbeat", said | {"later": "more"})
            assert answer == {"revoked": False, "address": "127.0.0.1"}
            (row,) = rig.endpoints.listed()["devices"]
            assert row["report"] == said | {"address": "127.0.0.1"}
            assert row["seen_at"] == pytest.approx(time.time(), abs=60)
            assert (await refused(link, "POST", "/heartbeat", {"drift": []}))[0] == 400
            assert rig.endpoints.counters()["endpoint:helpers"] == 1


async def test_the_bundles_files_are_served(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.publish([{"name": "many", "domains": [f"n{i}.example" for i in range(500)]}])
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            timestamp = json.loads(await link.get("/bundle/metadata/timestamp.json"))
            snapshot = timestamp["signed"]["meta"]["snapshot.json"]["version"]
            assert json.loads(await link.get(f"/bundle/metadata/{snapshot}.snapshot.json"))
            for absent in ("metadata/2.root.json", "metadata%2F..%2F..%2Fdevices.json", "targets/policy.json", "x"):
                assert (await refused(link, "GET", f"/bundle/{absent}"))[0] == 404


@pytest.mark.parametrize("spare", [-1, 0, 1, 200_000])
async def test_what_is_large_comes_in_pieces_and_whole(tmp_path: Path, spare: int) -> None:
    """Random, so that it is not served packed."""
    ca_pem = random.Random(1).randbytes(PIECE_BYTES + spare)
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.publish(RULES, ca_pem)
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            path = f"/bundle/targets/{sha256(ca_pem).hexdigest()}.ca.pem"
            for _ in range(2):
                assert await link.get(path) == ca_pem


# Hints


async def test_hints_come_at_the_begin_and_at_each_change(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        first = await rig.publish()
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link, aclosing(link.events()) as events:
            assert json.loads(await anext(events)) == {"revision": first}
            second = await rig.publish(RULES[:1])
            assert json.loads(await anext(events)) == {"revision": second}
            assert rig.endpoints.counters()["endpoint:listening"] == 1


async def test_a_revoked_device_stops_listening(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link, aclosing(link.events()) as events:
            await anext(events)
            await rig.endpoints.revoke(credential.device_id, rig.workers)
            async with asyncio.timeout(10):
                with pytest.raises(StopAsyncIteration):
                    await anext(events)
        await eventually(lambda: rig.endpoints.counters()["endpoint:listening"] == 0)


async def test_the_end_of_the_service_ends_hints_at_once(tmp_path: Path) -> None:
    link: ServiceLink | None = None
    async with asyncio.timeout(10):
        async with helpers_rig(tmp_path / "service") as rig:
            credential = await rig.enrolled(tmp_path / "helper")
            link = ServiceLink(credential.service_url, client_context(tmp_path / "helper", credential))
            events = link.events()
            await anext(events)
        assert await anext(events, None) is None
        await link.close()


@pytest.mark.parametrize(("listening", "keeps"), [(0, True), (332, True), (333, True), (334, False), (20_000, False)])
def test_connections_are_kept_while_streams_leave_room(listening: int, keeps: bool) -> None:
    assert may_keep(listening, 999) is keeps


@pytest.mark.parametrize("keeps", [True, False])
async def test_where_there_is_no_room_an_answer_ends_its_connection(
    tmp_path: Path, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_web, "may_keep", lambda listening, most: keeps)
    async with helpers_rig(tmp_path / "service") as rig:
        reader, writer = await asyncio.open_connection(*_place(rig.url), ssl=_unverified())
        try:
            writer.write(b"GET /authority HTTP/1.1\r\nHost: s\r\n\r\n" * 2)
            answers = 0
            while line := await reader.readline():
                answers += line.startswith(b"HTTP/1.1 200")
                if answers == 2:
                    break
        finally:
            writer.transport.abort()
        assert answers == (2 if keeps else 1)


def _place(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("https://").rpartition(":")
    return host, int(port)
