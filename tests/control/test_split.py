"""Control service, resolver and inspector as three services: one rule set, and each goes on without the others."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from steering.control.client import NotRunning
from tests.control.rigs import OPENED, STEERED, TUNNELLED, connect, dns_answer, inspector_does
from tests.kit import eventually, free_port
from tests.service import RULES, LiveService, Settings, World, command, over, service_in, world

MORE = [*RULES, {"name": "more", "domains": ["other.example"]}]


@dataclass(kw_only=True)
class Split:
    """dns, inspector: the same internet, seen by the one and by the other."""

    control: LiveService
    dns: World
    inspector: World

    async def does(self, host: str) -> tuple[list[str], str]:
        return await dns_answer(self.dns, host), await inspector_does(self.inspector, host)


@asynccontextmanager
async def split(folder: Path) -> AsyncIterator[Split]:
    port = free_port()
    control = service_in(
        folder / "control",
        RULES,
        {
            "control": {"endpoint_listen": f"127.0.0.1:{port}", "token_file": "token"},
            "inspector": {"advertise": ["127.0.0.1:3128"]},
        },
        "--only",
        "control",
    )
    following: Settings = {
        "follow": {
            "url": f"https://127.0.0.1:{port}",
            "token_file": str(folder / "control/token"),
            "ca": str(folder / "control/state/ca"),
        },
        "dns": {"inspector_addresses": [STEERED]},
    }
    async with world(folder / "inspector", [], following, start=False) as at:
        resolver = service_in(folder / "dns", [], over(at.service.settings, following), "--only", "dns")
        at.service.arguments = ("--only", "inspector")
        for service in (at.service, resolver):
            service.rules.unlink()
        made = Split(control=control, dns=replace(at, service=resolver), inspector=at)
        try:
            yield made
        finally:
            for service in (resolver, control):
                await asyncio.to_thread(service.stop)


async def start(*services: LiveService) -> None:
    await asyncio.gather(*(asyncio.to_thread(service.start) for service in services))


BYPASSED, INSPECTED = (["127.0.0.1"], TUNNELLED), ([STEERED], OPENED)


async def test_three_services_of_one_rule_set(tmp_path: Path) -> None:
    async with split(tmp_path) as at:
        resolver, inspector = at.dns.service, at.inspector.service
        # In whichever order they are started: nothing listens before there is a policy.
        resolver.launch()
        await eventually(lambda: "nothing is served before there is a policy" in resolver.log(), 30)
        await start(at.control, inspector)
        await eventually(lambda: _serves(resolver), 30, "the resolver serves")
        assert set(resolver.addresses) == {"DNS over UDP", "DNS over TCP"}
        assert (await at.does("pinned.example"), await at.does("other.example")) == (BYPASSED, INSPECTED)
        await _signs_with_the_ca_that_clients_are_given(at)

        enforced = await asyncio.to_thread(at.control.enforce, MORE)

        async def is_changed() -> bool:
            return await at.does("other.example") == BYPASSED

        await eventually(is_changed, 20, "the change reaches both")
        await eventually(lambda: _is_reported(at.control, enforced["revision"]), 20, "both report it")
        assert set(await asyncio.to_thread(_names, at.control)) == {
            f"{socket.gethostname()} (dns)",
            f"{socket.gethostname()} (inspector)",
        }

        assert await _said(resolver, "explain", "other.example") == (0, "other.example: bypass")
        for service in (resolver, inspector):
            assert await _said(service, "doctor") == (0, "ok      service: runs and answers")
        assert "certificate authority" not in resolver.log(), "it needs none"

        # The control service is gone: what was in force is, also after a restart.
        await asyncio.to_thread(at.control.stop)
        for service in (resolver, inspector):
            await asyncio.to_thread(service.stop)
        await start(resolver, inspector)
        assert (await at.does("other.example"), await at.does("www.example")) == (BYPASSED, INSPECTED)
        await eventually(lambda: _warns(resolver, "cannot be asked"), 20, "it says so")

        # What somebody changed on disk is not enforced, and nothing else is until there is a proved policy.
        await asyncio.to_thread(resolver.stop)
        kept = resolver.state / "follow/bundle/last-good.json"
        kept.write_text(kept.read_text("utf-8").replace("other.example", "every.example"), "utf-8")
        resolver.launch()
        await eventually(lambda: "is damaged" in resolver.log(), 30, "the damage is noticed")
        await start(at.control)
        await eventually(lambda: json.loads(kept.read_bytes())["policy"].find("other.example") > 0, 30, "mended")
        await eventually(lambda: _serves(resolver), 30, "it serves again")
        assert await at.does("other.example") == BYPASSED


async def _signs_with_the_ca_that_clients_are_given(at: Split) -> None:
    _, given, body = 0, *(await asyncio.to_thread(at.control.get, "/ca.pem"))[1:]
    authority = x509.load_pem_x509_certificate(body)
    _, writer, _ = await connect(at.inspector, "www.example")
    leaf = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    leaf.verify_directly_issued_by(authority)
    writer.transport.abort()
    assert given["content-type"] == "application/x-pem-file"


async def _is_reported(control: LiveService, revision: str) -> bool:
    devices = (await asyncio.to_thread(control.ask, "GET", "/endpoints"))["devices"]
    return {(device["report"] or {}).get("revision") for device in devices} == {revision}


async def _said(service: LiveService, *arguments: str) -> tuple[int, str]:
    """A command's exit code and first line."""
    done = await asyncio.to_thread(command, *arguments, "--config", service.config)
    return done.returncode, done.stdout.partition("\n")[0]


async def _warns(service: LiveService, what: str) -> bool:
    return what in str((await asyncio.to_thread(service.status))["warnings"])


def _names(control: LiveService) -> list[str]:
    return [device["name"] for device in control.ask("GET", "/endpoints")["devices"]]


async def _serves(service: LiveService) -> bool:
    """One that was launched."""
    try:
        service.addresses = dict((await asyncio.to_thread(service.status))["addresses"])
    except NotRunning:
        return False
    return True
