"""How long a rule change takes to reach simulated helpers, and what the service pays for it.

    python -m bench.endpoint_bundles [--quick]

A real service, as a process of its own; in this process the helpers, each with a certificate of its own, a stream of
hints, the real jitter of up to two seconds after a hint, and a kept TLS connection for its fetches.  Most make the
requests that a TUF client makes and go by what the answers say, since a thousand whole ones on one machine would
measure its processor; some are whole (``real``): TUF, parsing, compiling, and the bundle kept on disk.  All share the
machine with the service, so the times are upper bounds; what is nobody else's is the processor time, of the service
and of the simulated helpers, for each helper that is brought up to date.  ``offline start`` is from the disk to rules
in force; ``process start`` is that of a whole helper, which nobody answers, until it says that it is ready.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bench.policy import names
from bench.report import Row, print_rows, quantile
from steering.endpoint import device
from steering.endpoint.bundle.client import BundleClient
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.bundle.watch import BundleWatch
from steering.endpoint.device import Credential, client_context, trusting
from steering.endpoint.enrol import enrol, request_for
from steering.endpoint.service_link import ServiceLink
from steering.formats.enrolment import parse_token
from steering.process.logs import configure_logs
from steering.process.loop import run
from tests.kit import wait_until
from tests.service import LiveService, Settings, service_in

ROUNDS = 3
REAL = 2  # each compiles on the processor that all share
AT_ONCE = 25  # enrolments
PATIENCE_S = 120.0
SETTINGS: Settings = {
    "control": {"listen": "127.0.0.1:0", "endpoint_listen": "127.0.0.1:0"},
    "inspector": {"advertise": ["proxy.example:3128"], "endpoint_advertise": ["proxy.example:3130"]},
}


@dataclass(kw_only=True)
class Helpers:
    """When each helper had which revision: helper -> revision -> instant."""

    since: dict[int, dict[str, float]] = field(default_factory=dict)

    def note(self, number: int, revision: str) -> None:
        self.since.setdefault(number, {}).setdefault(revision, time.monotonic())

    def count(self, revision: str) -> int:
        return sum(revision in seen for seen in self.since.values())

    def waits(self, revision: str, began: float, numbers: range) -> list[float]:
        return [self.since[number][revision] - began for number in numbers]


def policy(count: int, change: int) -> bytes:
    rules = [{"name": f"rule {i}", "domains": part} for i, part in enumerate(_parts(names(count), 100))]
    return json.dumps({"rules": [*rules, {"name": "change", "domains": [f"change{change}.example"]}]}).encode()


def _parts(listed: list[str], number: int) -> list[list[str]]:
    return [listed[start::number] for start in range(number)]


class Simulated:
    """Asks what a TUF client asks, on a connection of its own, and takes what it gets as it comes.

    By hand and without unpacking: a thousand of them must not cost more than the service that is measured.
    """

    def __init__(self, number: int, helpers: Helpers, credential: Credential, context: ssl.SSLContext) -> None:
        self._number = number
        self._helpers = helpers
        self._host, _, port = credential.service_url.removeprefix("https://").rpartition(":")
        self._port = int(port)
        self._context = context
        self._targets = -1
        self._kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept[1].transport.abort()
            self._kept = None

    async def update(self) -> None:
        if self._kept is None or self._kept[0].at_eof():
            self._kept = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        reader, writer = self._kept

        async def get(path: str) -> bytes:
            writer.write(f"GET /bundle/{path} HTTP/1.1\r\nHost: s\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            return await reader.readexactly(int(length.partition(b":")[2]))

        try:
            await get("metadata/2.root.json")
            timestamp = json.loads(await get("metadata/timestamp.json"))["signed"]["meta"]["snapshot.json"]["version"]
            snapshot = json.loads(await get(f"metadata/{timestamp}.snapshot.json"))["signed"]["meta"]
            version = snapshot["targets.json"]["version"]
            if version != self._targets:
                targets = json.loads(await get(f"metadata/{version}.targets.json"))["signed"]["targets"]
                digest = targets["policy.json"]["hashes"]["sha256"]
                content = await get(f"targets/{digest}.policy.json")
                self._targets = version
                self._helpers.note(self._number, _revision(content))
        except BaseException:
            self.close()
            raise


def _revision(packed: bytes) -> str:
    """Of a bundle, without unpacking more than its begin."""
    begin = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(packed, 200)
    return begin.partition(b'"revision":"')[2].partition(b'"')[0].decode()


async def _enrol(folder: Path, link: ServiceLink, secret: str) -> Credential:
    """As ``enrol``, over one connection for all."""
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await link.post("/enrol", {"token": secret, "csr": request_for(key), "name": folder.name})
    made = Credential(
        device_id=answer["device_id"],
        group="",
        key=key,
        certificate=x509.load_pem_x509_certificate(answer["certificate"].encode()),
        authority_pem=answer["authority"].encode(),
        service_url=answer["url"],
    )
    device.save(folder, made)
    return made


async def measure(number: int, count: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="steering-bench-") as name:
        folder = Path(name)
        service = service_in(folder / "service", policy(count, 0), SETTINGS, "--only", "control")
        try:
            await asyncio.to_thread(service.start)
            return await _measure(service, folder, number, count)
        finally:
            service.stop()


async def _measure(service: LiveService, folder: Path, number: int, count: int) -> list[Row]:
    helpers, links, tasks = Helpers(), [], []
    alone_cpu = _cpu_s(service.pid)
    service.write_rules(policy(count, ROUNDS + 1))
    await asyncio.to_thread(service.reload)
    alone_cpu = _cpu_s(service.pid) - alone_cpu  # of a change that nobody fetches
    alone_mb = _rss_mb(service.pid)
    made = await asyncio.to_thread(service.ask, "POST", "/endpoints/token", {"uses": number})
    token = parse_token(made["token"])
    real = [await enrol(made["token"], folder / f"real{i}") for i in range(min(REAL, number))]
    authority = real[0].authority_pem
    shared = ServiceLink(token.url, trusting(authority.decode()))
    began = time.monotonic()
    simulated: list[Credential] = []
    for start in range(0, number - len(real), AT_ONCE):
        some = range(start, min(start + AT_ONCE, number - len(real)))
        simulated += await asyncio.gather(*(_enrol(folder / f"d{i}", shared, token.secret) for i in some))
    enrolled_s = time.monotonic() - began
    await shared.close()
    for i, credential in enumerate((*real, *simulated)):
        home = folder / (f"real{i}" if i < len(real) else f"d{i - len(real)}")
        context = client_context(home, credential)
        link = ServiceLink(credential.service_url, context)
        update = _keeper(i, helpers, home, credential, context) if i < len(real) else None
        look = update or Simulated(i, helpers, credential, context).update
        watch = BundleWatch(look, link.events, poll_s=3600, chance=random.Random(i))
        links.append(link)
        tasks.append(asyncio.create_task(watch.serve()))
    first = (await asyncio.to_thread(service.status))["revision"]
    await _until(lambda: helpers.count(first) == number)
    await asyncio.to_thread(wait_until, lambda: _listening(service) == number, PATIENCE_S, "everybody listens")
    waits: list[float] = []
    waits_real: list[float] = []
    reloads: list[float] = []
    cpu, own_cpu = _cpu_s(service.pid), time.process_time()
    for change in range(1, ROUNDS + 1):
        service.write_rules(policy(count, change))
        began = time.monotonic()
        revision = (await asyncio.to_thread(service.reload))["revision"]
        reloads.append(time.monotonic() - began)
        await _until(lambda wanted=revision: helpers.count(wanted) == number)  # type: ignore[misc]
        waits += helpers.waits(revision, began, range(len(real), number))
        waits_real += helpers.waits(revision, began, range(len(real)))
    cpu, own_cpu = (_cpu_s(service.pid) - cpu) / ROUNDS - alone_cpu, (time.process_time() - own_cpu) / ROUNDS
    more_mb = _rss_mb(service.pid) - alone_mb
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for link in links:
        await link.close()
    size = max(path.stat().st_size for path in (service.state / "bundle/targets").glob("*policy.json"))
    about: Row = {"helpers": number, "names": count, "bundle KB": size // 1000}
    offline = _offline_ms(folder / "real0", real[0])
    return [
        about
        | {
            "what": "simulated",
            **_spread(waits),
            "service CPU ms each": round(cpu * 1000 / number, 2),
            "its reload CPU s": round(alone_cpu, 2),
            "helper CPU ms each": round(own_cpu * 1000 / number, 2),
            "MB more": more_mb,
        },
        about | {"what": "real", **_spread(waits_real)},
        about | {"what": "of it, the service's own reload", **_spread(reloads)},
        about | {"what": "enrolments", "per s": round(len(simulated) / max(enrolled_s, 1e-9))},
        about | {"what": "offline start", "ms": round(offline, 1)},
        about | {"what": "process start", **_process_start(folder / "real0")},
    ]


def _keeper(
    number: int, helpers: Helpers, home: Path, credential: Credential, context: ssl.SSLContext
) -> "Callable[[], asyncio.Future[None]]":
    keeper = BundleKeeper(
        home / "bundle",
        LiveBundle(),
        BundleClient(home / "bundle", credential.service_url, ServiceFetcher(lambda: context)),
    )

    async def update() -> None:
        await keeper.update()
        assert keeper.error == "", keeper.error
        helpers.note(number, keeper.revision)

    return lambda: asyncio.ensure_future(update())


def _offline_ms(home: Path, credential: Credential) -> float:
    """Of the best of three: the first one also warms the disk."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        client = BundleClient(home / "bundle", credential.service_url, ServiceFetcher(_nobody))
        assert BundleKeeper(home / "bundle", LiveBundle(), client).load()
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def _process_start(home: Path) -> Row:
    """Of the best of three, as above: the time until it is ready, and the processor's share of that."""
    found = []
    for _ in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(f"\0steering-bench-{os.getpid()}")
            began = time.perf_counter()
            helper = subprocess.Popen(
                [sys.executable, "-m", "steering", "endpoint", "run", "--state", home, "--listen", "127.0.0.1:0"],
                env={**os.environ, "NOTIFY_SOCKET": f"@steering-bench-{os.getpid()}"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                ready.settimeout(PATIENCE_S)
                while b"READY=1" not in ready.recv(4096):
                    pass
                found.append(((time.perf_counter() - began) * 1000, _cpu_s(helper.pid) * 1000))
            finally:
                helper.terminate()
                helper.wait()
    took, cpu = min(found)
    return {"ms": round(took), "CPU ms": round(cpu)}


def _nobody() -> ssl.SSLContext:
    raise AssertionError("nobody is asked")


def _spread(waits: list[float]) -> Row:
    shares = {"p50 s": 0.5, "p99 s": 0.99, "max s": 1.0}
    return {name: round(quantile(waits, share), 2) for name, share in shares.items()}


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {PATIENCE_S} s"
        await asyncio.sleep(0.05)


def _listening(service: LiveService) -> int:
    return int(service.status()["counters"]["endpoint:listening"])


def _cpu_s(pid: int) -> float:
    """Of all its threads that live, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _rss_mb(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the helpers")
    quick = parser.parse_args().quick
    configure_logs("console")
    logging.disable()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes = ((100, 2_000),) if quick else ((1000, 2_000), (1000, 20_000))
    print_rows([row for number, count in sizes for row in run(measure(number, count))])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    main()
