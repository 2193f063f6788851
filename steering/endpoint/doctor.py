"""Looks at this installation for what is wrong with it: credential, service, inspectors, stores, settings, rules.

Everything is looked at from outside the running helper, by whoever asks; ``findings`` says what it means.  ``drift``
is the short form that heartbeats carry.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from steering.endpoint import device
from steering.endpoint.bundle.content import Bundle
from steering.endpoint.capture import linux_nft
from steering.endpoint.device import Credential
from steering.endpoint.errors import EndpointError
from steering.endpoint.findings import Answer, Finding, Seen, findings
from steering.endpoint.identify.selftest import Tested
from steering.endpoint.install import plan
from steering.endpoint.install.carry import verify
from steering.endpoint.install.machine import Machine
from steering.endpoint.lock import holder
from steering.endpoint.settings import EndpointSettings

_WAIT_S = 5.0


def examine(
    folder: Path,
    settings: EndpointSettings,
    *,
    bundle: Bundle | None,
    tested: Sequence[Tested] = (),
    machine: Machine | None = None,
    wanted: plan.Wanted | None = None,
) -> list[Finding]:
    """Look at all there is, the network included; takes seconds where nobody answers.

    folder: the helper's.  machine, wanted: of an installation, None where it is not to be looked at.
    """
    credential = _load(folder)
    known = isinstance(credential, Credential)
    helper = holder(folder)
    peers = bundle.inspectors if bundle is not None and known else ()
    return findings(
        Seen(
            now=time.time(),
            credential=credential,
            bundle=bundle,
            service=ask_service(folder, credential) if isinstance(credential, Credential) else None,
            inspectors=tuple(ask_inspector(folder, peer) for peer in peers),
            tested=tuple(tested),
            helper=helper,
            capabilities=effective_capabilities(helper),
            lacking=_lacking(machine, wanted) if machine is not None and wanted is not None else None,
            capture=linux_nft.drift(folder) if settings.capture else None,
            listening=is_listening(settings.listen),
        )
    )


def drift(
    folder: Path,
    settings: EndpointSettings,
    *,
    tested: Sequence[Tested] = (),
    machine: Machine | None = None,
    wanted: plan.Wanted | None = None,
) -> dict[str, str]:
    """For heartbeats: "ok", "not installed", "off", or what differs.  Runs programs: not on the event loop."""
    bad = next((f"{result.kind}: {result.why}" for result in tested if result.why), "")
    found = {"self_test": bad or ("ok" if tested else "not run")}
    found["capture"] = (linux_nft.drift(folder) or "ok") if settings.capture else "off"
    for name, steps in (("proxy_setting", plan.proxy_steps), ("ca_present", plan.trust_steps)):
        found[name] = "not installed"
        if machine is None or wanted is None:
            continue
        try:
            chosen = plan.installed(machine, wanted)
            if chosen is not None and (chosen.proxies or steps is plan.trust_steps):
                found[name] = next(filter(None, map(verify, steps(machine, chosen))), "ok")
        except (EndpointError, OSError) as exc:
            found[name] = str(exc)
    return found


def _lacking(machine: Machine, wanted: plan.Wanted) -> tuple[tuple[str, str], ...] | None:
    try:
        chosen = plan.installed(machine, wanted)
        if chosen is None:
            return None
        steps = plan.plan(machine, chosen)
    except (EndpointError, OSError) as exc:
        return (("installation", str(exc)),)
    return tuple((step.name, problem) for step in steps if (problem := verify(step)))


def _load(folder: Path) -> Credential | str:
    try:
        return device.load(folder)
    except EndpointError as exc:
        return str(exc)


def effective_capabilities(pid: int | None = None) -> int | None:
    """Of a process, by default of this one; None where the system has none."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), None)


def is_listening(listen: str) -> str:
    """Why nobody can connect to the helper, "" where one can."""
    host, _, port = listen.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT_S).close()
    except (OSError, ValueError) as exc:
        return f"it does not run: nobody listens on {listen} ({exc})"
    return ""


def ask_service(folder: Path, credential: Credential) -> Answer:
    return _ask(folder, credential.service_url, "GET", "/bundle/metadata/timestamp.json", "")


def ask_inspector(folder: Path, peer: str) -> Answer:
    return _ask(folder, f"https://{peer}", "OPTIONS", "*", "steering")


def _ask(folder: Path, url: str, method: str, target: str, host: str) -> Answer:
    """One request with the device's certificate, and what came back of it.  Never raises."""
    parts = urlsplit(url)
    try:
        context = ssl.create_default_context(cafile=str(folder / device.AUTHORITY))
        context.load_cert_chain(folder / device.CERTIFICATE, folder / device.KEY)
        link = HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=_WAIT_S, context=context)
        try:
            link.request(method, target, headers={"Host": host} if host else {})
            answer = link.getresponse()
            date = answer.getheader("Date")
            return Answer(peer=parts.netloc, status=answer.status, date=_moment(date))
        finally:
            link.close()
    except (OSError, HTTPException, ValueError) as exc:
        return Answer(peer=parts.netloc, problem=str(exc) or type(exc).__name__)


def _moment(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
