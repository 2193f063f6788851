"""The service as a whole, as a process: it starts, follows its rules, survives, and ends."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steering.control.errors import ControlError
from steering.control.listening import Role
from steering_inspector.keystore import load_or_create
from tests.control.rigs import (
    BYPASSED,
    INSPECTED,
    OPENED,
    SETTINGS,
    STEERED,
    TUNNELLED,
    connect,
    dns_answer,
    inspector_does,
    points_do,
)
from tests.inspector.origin import Head, whole
from tests.kit import eventually, free_port
from tests.service import RULES, LiveService, World, command, environment, over, rules_text, service_in, world

WWW = {"name": "www", "action": "bypass", "domains": ["www.example"]}
DAY_S = 86400
CONTROL_ALONE = {"inspector": {"listen": "127.0.0.1:3128"}}  # named in PACs, and not listened on


# Following the rules file


async def _hup(at: World) -> None:
    at.service.signal(signal.SIGHUP)


async def _command(at: World) -> None:
    done = await asyncio.to_thread(command, "reload", "--config", at.service.config)
    assert done.returncode == 0, done.stderr


async def _nothing(at: World) -> None:
    """The service notices by itself."""


# Whether the file is changed in place, and what is done then.
WAYS: list[tuple[bool, Callable[[World], Awaitable[None]]]] = [
    (True, _nothing),
    (False, _nothing),
    (False, _hup),
    (True, _command),
]


async def test_a_change_is_in_force_at_every_point(tmp_path: Path) -> None:
    async with world(tmp_path, settings=over(SETTINGS, {"inspector": {"workers": 2}})) as at:
        assert await points_do(at, "www.example") == INSPECTED
        for in_place, and_then in WAYS:
            for rules, expected in (([*RULES, WWW], BYPASSED), (RULES, INSPECTED)):
                at.service.write_rules(rules, in_place=in_place)
                await and_then(at)

                async def is_so(expected: object = expected) -> bool:
                    with contextlib.suppress(ConnectionError):  # a tunnel withdrawn in its handshake
                        return await points_do(at, "www.example") == expected
                    return False

                await eventually(is_so, 15, f"{expected} after {and_then.__name__}")
                for _ in range(6):  # whichever worker is met
                    assert await points_do(at, "www.example") == expected
        status = await asyncio.to_thread(at.service.status)
        assert status["reloads"] >= 8 and (status["rules"], status["enabled"]) == (2, 2)


async def test_a_bad_file_keeps_the_old_rules_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, [*RULES, WWW], SETTINGS) as at:
        revision = at.service.ready()[1]["revision"]
        for bad in (b"", b"{", b'{"rules": [{"name": "x", "domains": ["com"]}]}', rules_text(RULES)[:-20]):
            at.service.write_rules(bad, in_place=True)
            await eventually(lambda: at.service.ready()[1].get("status") == "degraded", what="degraded")
            code, ready = at.service.ready()
            assert code == 200 and ready["revision"] == revision
            assert re.match(r"rules\.json:\d+:\d+: an error", ready["error"])
            assert await points_do(at, "www.example") == BYPASSED
            at.service.write_rules(rules_text([*RULES, WWW]))
            await eventually(lambda: at.service.ready()[1].get("status") == "ok", what="recovery")
        at.service.write_rules(b'{"rules": [\n {"name": "x", "domains": ["com"]}]}')
        await eventually(lambda: at.service.ready()[1].get("status") == "degraded", what="degraded")
        status = await asyncio.to_thread(command, "status", "--config", at.service.config)
        assert status.returncode == 1
        assert "degraded: policy" in status.stdout and f"{at.service.rules}:2:" in status.stderr
        reload = await asyncio.to_thread(command, "reload", "--config", at.service.config)
        assert reload.returncode == 1
        assert "the old rules stay in force" in at.service.log()
        at.service.rules.unlink()
        await eventually(lambda: "cannot be read" in str(at.service.ready()[1].get("error")), what="a missing file")
        at.service.write_rules([*RULES, WWW])
        await eventually(lambda: at.service.ready()[1].get("status") == "ok", what="recovery")
        status = await asyncio.to_thread(command, "status", "--config", at.service.config)
        assert status.returncode == 0 and "3 rules (3 enabled) with 3 domains" in status.stdout


async def test_a_start_with_broken_rules_takes_the_last_good_ones(tmp_path: Path) -> None:
    async with world(tmp_path, [*RULES, WWW], SETTINGS) as at:
        revision = at.service.ready()[1]["revision"]
        await asyncio.to_thread(at.service.stop)
        at.service.write_rules(b"{")
        await asyncio.to_thread(at.service.start)
        code, ready = at.service.ready()
        assert (code, ready["status"], ready["revision"]) == (200, "degraded", revision)
        assert await points_do(at, "www.example") == BYPASSED
        at.service.write_rules(RULES)
        await eventually(lambda: at.service.ready()[1].get("status") == "ok", what="recovery")
        assert await points_do(at, "www.example") == INSPECTED


async def test_time_conditions_hold_to_the_second(tmp_path: Path) -> None:
    """Whatever was asked before the instant is answered by the old rules, whatever after it by the new ones."""

    def text(instant: float) -> str:
        return datetime.fromtimestamp(instant, UTC).isoformat()

    async with world(tmp_path, settings=SETTINGS) as at:
        before_them = at.service.ready()[1]["revision"]
        turn = time.time() + 8
        at.service.write_rules(
            [
                {"name": "ends", "domains": ["www.example"], "expires_at": text(turn)},
                {"name": "begins", "domains": ["other.example"], "not_before": text(turn)},
            ]
        )
        await eventually(lambda: at.service.ready()[1]["revision"] != before_them, 8, "the rules with times")
        assert "www.example" not in at.service.pac(), "browsers keep a PAC for hours"
        assert "other.example" not in at.service.pac()
        seen = set()
        while time.time() < turn + 1:
            for host, before in (("www.example", True), ("other.example", False)):
                began = time.time()
                bypassed = (await dns_answer(at, host)) == ["127.0.0.1"], (await inspector_does(at, host)) == TUNNELLED
                ended = time.time()
                if ended < turn or began >= turn:
                    expected = before == (ended < turn)
                    assert bypassed == (expected, expected), (host, ended - turn)
                    seen.add((host, ended < turn))
            await asyncio.sleep(0.01)
        assert len(seen) == 4
        await eventually(lambda: "other.example" in at.service.pac(), what="the PAC of the time after")
        assert at.service.ready()[1]["status"] == "ok"


# Surviving


async def test_a_killed_worker_costs_what_was_in_it(tmp_path: Path) -> None:
    async with world(tmp_path, settings=over(SETTINGS, {"inspector": {"workers": 2}})) as at:
        tunnels = [await connect(at, "pinned.example") for _ in range(12)]
        victim, _ = at.service.workers()
        os.kill(victim, signal.SIGKILL)
        # While it is away: who is queued on its sockets waits for the next one, and nobody is refused.
        answers = await asyncio.gather(*(inspector_does(at, "www.example") for _ in range(16)))
        assert answers == [OPENED] * 16
        assert {tuple(await dns_answer(at, "www.example")) for _ in range(16)} == {(STEERED,)}
        alive = 0
        for reader, writer, what in tunnels:
            assert what == TUNNELLED
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET /hello HTTP/1.1\r\nHost: pinned.example\r\n\r\n")
                alive += (await reader.read(100)).startswith(b"HTTP/1.1 200")
            writer.transport.abort()
        assert 0 < alive < 12, "those of the other worker went on"
        reload = await asyncio.to_thread(command, "reload", "--config", at.service.config)
        assert "2 workers, 1 restarts, 0 reloads" in reload.stdout, "as it is, not as it was when last asked for"
        status = await asyncio.to_thread(at.service.status)
        assert (status["restarts"], status["workers"], status["state"]) == (1, 2, "ok")
        assert victim not in at.service.workers() and len(at.service.workers()) == 2
        await asyncio.to_thread(at.service.enforce, [*RULES, WWW])
        assert {await inspector_does(at, "www.example") for _ in range(8)} == {TUNNELLED}


async def test_after_a_crash_it_starts_again_on_the_same_ports(tmp_path: Path) -> None:
    async with world(tmp_path, settings=over(SETTINGS, {"inspector": {"workers": 2}})) as at:
        at.service.keep_ports()
        workers = at.service.workers()
        tunnel = await connect(at, "pinned.example")  # holds its worker for as long as it may drain
        at.service.signal(signal.SIGKILL)
        await asyncio.to_thread(at.service.wait)
        await asyncio.to_thread(at.service.start)
        assert await points_do(at, "pinned.example") == BYPASSED
        await eventually(lambda: not any(map(_runs, workers)), what="the workers of the one before are gone")
        tunnel[1].transport.abort()


def _runs(pid: int) -> bool:
    """A container's first process may not bury what is left to it: a zombie does not run."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_kill_while_rules_are_written_never_breaks_the_state(tmp_path: Path) -> None:
    """The parent alone, killed at some moment of a storm of reloads, then started with a broken rules file."""
    many: Mapping[str, object] = {"name": "many", "domains": [f"n{number}.example" for number in range(1500)]}
    service = service_in(tmp_path, [many, WWW], CONTROL_ALONE, "--only", "control")
    revisions: set[str] = set()
    try:
        for round_ in range(8):
            await asyncio.to_thread(service.start)
            code, ready = service.ready()
            revisions.add(ready["revision"])
            assert code == 200 and (round_ == 0 or ready["status"] == "degraded")
            changes: list[None] = []
            storm = asyncio.create_task(_storm(service, many, changes))
            await eventually(lambda changes=changes: changes, within_s=60, what="a first change")
            await asyncio.sleep(0.037 * round_)
            service.signal(signal.SIGKILL)
            await asyncio.to_thread(service.wait)
            await storm
            kept = (service.state / "last-good-rules.json").read_bytes()
            assert kept in (rules_text([many, WWW]), rules_text([many]))
            service.write_rules(b"{")
    finally:
        service.kill()
    assert len(revisions) <= 2


async def _storm(service: LiveService, many: Mapping[str, object], changes: list[None]) -> None:
    """Changes until the service is gone, each noted in ``changes``."""
    with contextlib.suppress(ControlError):
        while True:
            for rules in ([many], [many, WWW]):
                await asyncio.to_thread(service.write_rules, rules)
                await asyncio.to_thread(service.reload)
                changes.append(None)


async def test_a_full_disk_and_a_rotated_log_stop_no_traffic(tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to("/dev/full")
    async with world(tmp_path, settings=SETTINGS) as at:
        for _ in range(5):
            assert await inspector_does(at, "pinned.example") == TUNNELLED

        async def is_counted() -> bool:
            return bool((await asyncio.to_thread(at.service.status))["counters"].get("log:dropped"))

        await eventually(is_counted, what="lost lines are counted")
        assert "access lines cannot be written and are lost" in at.service.log()
        log = tmp_path / "access.log"
        log.unlink()
        assert await inspector_does(at, "pinned.example") == TUNNELLED
        await eventually(lambda: at.service.access(host="pinned.example", action="tunnel"), what="a line")
        log.rename(tmp_path / "access.log.1")
        assert await inspector_does(at, "pinned.example") == TUNNELLED
        await eventually(lambda: at.service.access(host="pinned.example"), what="a line in the new file")
        assert len((tmp_path / "access.log.1").read_text().splitlines()) == 1


# Ending


@pytest.mark.parametrize(("host", "what"), [("www.example", OPENED), ("pinned.example", TUNNELLED)])
async def test_sigterm_drains(tmp_path: Path, host: str, what: str) -> None:
    go_on = asyncio.Event()

    async def slow(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        answer = whole(b"x" * 100_000)
        writer.write(answer[:50_000])
        await go_on.wait()
        writer.write(answer[50_000:])
        await writer.drain()
        return True

    async with world(tmp_path, settings=SETTINGS) as at:
        at.origin.replies["/slow"] = slow
        reader, writer, found = await connect(at, host)
        assert found == what
        writer.write(f"GET /slow HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        got = await reader.readexactly(10_000)
        at.service.signal(signal.SIGTERM)
        port = at.service.port(Role.EXPLICIT)

        async def is_refused() -> bool:
            try:
                _, other = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return True
            other.transport.abort()
            return False

        await eventually(is_refused, what="newcomers are refused at once")
        go_on.set()
        async with asyncio.timeout(30):
            rest = await reader.read(-1)
        assert len(got) + len(rest) == 100_000
        writer.transport.abort()
        assert await asyncio.to_thread(at.service.wait) == 0
        assert not (at.service.state / "steering.sock").exists()


# Refusing to start


def test_the_second_on_one_state_folder_or_one_port_is_refused(tmp_path: Path) -> None:
    first = service_in(tmp_path / "1", settings={"state": {"dir": "state"}})
    try:
        first.start()
        same_state = command("serve", "--config", first.config)
        assert same_state.returncode == 1
        assert f"another Steering (process {first.pid}) runs on {first.state}" in same_state.stderr
        for section, key, role in (
            ("control", "listen", Role.CONTROL),
            ("inspector", "listen", Role.EXPLICIT),
            ("inspector", "tls_listen", Role.TLS),
            ("dns", "listen", Role.DNS_UDP),
        ):
            address = first.addresses[role.value]
            second = service_in(tmp_path / role.name, settings={section: {key: address}})
            with pytest.raises(AssertionError, match="ended with 1") as caught:
                second.start()
            assert f"{role.value}: cannot listen on {address}: Address already in use" in str(caught.value)
        assert first.ready()[0] == 200
    finally:
        first.stop()


# Settings -> exit code and what is said.
REFUSED: dict[str, tuple[dict[str, dict[str, object]], int, str]] = {
    "unknown key": ({"dns": {"lisen": "127.0.0.1:0"}}, 2, "there is no setting dns.lisen; did you mean 'listen'?"),
    "no upstream": ({"dns": {"upstreams": ["udp://x"]}}, 2, "is no address"),
    "no trust": ({"inspector": {"trust": ["none.pem"]}}, 2, "none.pem cannot be loaded"),
    "no user": ({"run": {"user": "nosuchuser"}}, 1, "there is no user 'nosuchuser'"),
    "no such address": ({"control": {"listen": "192.0.2.1:0", "public_url": "http://s.example"}}, 1, "Cannot assign"),
    "long path": ({"state": {"dir": "x" * 120}}, 1, "too long for a Unix socket"),
    "a follower without a token": ({"follow": {"url": "https://c.example:8444"}}, 2, "give an enrolment token"),
    "no templates": ({"pac": {"templates": "none"}}, 2, "pac.templates: there is no folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(tmp_path: Path, case: str) -> None:
    if case == "no user" and os.geteuid() != 0:
        pytest.skip("needs root (run it as root)")
    settings, code, said = REFUSED[case]
    service = service_in(tmp_path, settings=settings)
    try:
        service.launch()
        assert (service.wait(), "Traceback" in service.log()) == (code, False), service.log()
        assert said in service.log()
    finally:
        service.kill()


def test_a_pac_that_would_name_a_port_nobody_knows(tmp_path: Path) -> None:
    """Port 0 is a free one of the inspector that runs here, and here runs none."""
    service = service_in(tmp_path, RULES, None, "--only", "control")
    service.launch()
    assert service.wait() == 2 and "Traceback" not in service.log()
    assert "inspector.listen is 127.0.0.1:0, and the inspector that would take a free port" in service.log()
    resolver = service_in(tmp_path, RULES, None, "--only", "dns")  # it gives nobody a PAC
    try:
        assert set(resolver.start().addresses) == {Role.DNS_UDP.value, Role.DNS_TCP.value}
    finally:
        assert resolver.stop() == 0


def test_rules_that_cannot_be_enforced_and_none_before(tmp_path: Path) -> None:
    service = service_in(tmp_path, b'{"rules": [\n{"name": "a", "domains": ["com", "a b"]}]}')
    service.launch()
    assert service.wait() == 1
    assert service.log().count("rules.json:2:") == 2, "every error, with its place"
    service.rules.unlink()
    service.launch()
    assert service.wait() == 2
    assert "there is no rules file at" in service.log()
    assert command("serve", "--only", "everything", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("written", ["udp://127.0.0.1", "zone"])
def test_a_resolver_that_would_ask_itself(tmp_path: Path, listen: str, written: str) -> None:
    port = free_port()
    upstream = f"udp://127.0.0.1:{port}"
    dns = {"upstreams": [upstream]} if written != "zone" else {"zones": {"corp.example": [upstream]}}
    service = service_in(tmp_path, settings={"dns": {"listen": f"{listen}:{port}", **dns}})
    service.launch()
    assert service.wait() == 2
    assert f"dns.upstreams: upstream udp://127.0.0.1:{port} is this resolver itself" in service.log()


# The CA


async def test_with_an_unsafe_ca_bypasses_are_tunnelled_and_the_rest_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, settings=SETTINGS, start=False) as at:
        load_or_create(at.service.state, time.time(), name="Steering inspection CA")
        (at.service.state / "ca" / "ca.key").chmod(0o644)
        await asyncio.to_thread(at.service.start)
        assert await inspector_does(at, "pinned.example") == TUNNELLED
        assert await inspector_does(at, "www.example") == "503"
        assert at.service.get("/ca.pem")[0] == 404
        status = await asyncio.to_thread(at.service.status)
        assert status["state"] == "ok" and "can be read by others" in status["warnings"][0]
        assert "the certificate authority cannot be used: only bypasses are passed" in at.service.log()


def test_a_ca_near_its_end_warns(tmp_path: Path) -> None:
    service = service_in(tmp_path, RULES, CONTROL_ALONE, "--only", "control")
    made = load_or_create(tmp_path / "x", time.time(), name="x").authority.certificate
    life_s = (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds()
    load_or_create(service.state, time.time() - life_s + 31 * DAY_S, name="Steering inspection CA")
    try:
        service.start()
        (warning,) = service.status()["warnings"]
        assert re.fullmatch(r"the CA certificate ends in (29|30|31) days: run 'steering ca rotate' .*", warning)
        assert "the CA certificate ends in" in service.log()
    finally:
        service.stop()


# Root


@pytest.mark.needs("root", "linux")
def test_root_becomes_the_configured_user(open_folder: Path) -> None:
    """Or says why it cannot: the interpreter may lie where only root may go."""
    service = service_in(open_folder, settings={"run": {"user": "nobody"}, "log": {"access": "off"}})
    service.rules.chmod(0o644)
    installed = [path for path in sys.path if path.endswith("site-packages")]
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        probe = [candidate, "-c", "import aiohttp"]
        path = os.pathsep.join([environment()["PYTHONPATH"], *installed])
        with contextlib.suppress(OSError):
            if subprocess.run(probe, user="nobody", env={"PYTHONPATH": path}, cwd="/").returncode == 0:
                service.interpreter, service.environment = candidate, {"PYTHONPATH": path}
                break
    else:
        service.launch()
        assert service.wait() == 1 and "run.user: nobody may not run" in service.log()
        return
    try:
        service.start()
        for pid in (service.pid, *service.workers()):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert set(status["Uid"].split()) == {"65534"} and int(status["CapEff"], 16) == 0
        assert service.reload()["state"] == "ok"
        assert (service.state / "last-good-rules.json").stat().st_uid == 65534
    finally:
        service.stop()


# What it says of itself


def test_console_and_json(tmp_path: Path) -> None:
    """The banner is for people; with JSON logs standard output belongs to the access lines."""
    rules = [*RULES, {**WWW, "enabled": False}]
    service = service_in(tmp_path, rules, over(CONTROL_ALONE, {"log": {"format": "console"}}), "--only", "control")
    try:
        service.start()
        assert "3 rules (2 enabled) from" in service.output()
        assert (service.status()["rules"], service.status()["enabled"]) == (3, 2)
        assert service.stop() == 0
        (tmp_path / "stdout").unlink()
        service.settings = over(service.settings, {"log": {"format": "json"}})
        service.start()
        assert service.output() == ""
        serving = next(json.loads(line) for line in service.log().splitlines() if '"serving"' in line)
        assert serving["rules"] == "3 rules (2 enabled)"
        assert serving["addresses"] == service.addresses
    finally:
        service.stop()
