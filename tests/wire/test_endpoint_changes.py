"""What becomes of a laptop when things change or break: rules, the service, the helper, the device's standing.

One laptop, with capture; each test leaves it as it found it.
"""

import json
import os
from collections.abc import Iterator
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Any

import pytest

from tests.kit import wait_until
from tests.wire.laptop import PROXY, UID, Laptop, running_laptop
from tests.wire.world import INSPECTION_CA, ORIGIN_CA

pytestmark = pytest.mark.needs("unshare", "setpriv", "nft")

SLACK: dict[str, Any] = {"name": "Slack", "programs": ["slack"], "domains": ["tool.example"]}
PINNED: dict[str, Any] = {"name": "Pinned app", "domains": ["pin.example"]}
RULES = [SLACK, PINNED]
BYPASSED, INSPECTED = "https://tool.example/", "https://inspected.example/"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with running_laptop(tmp_path_factory.mktemp("laptop"), RULES, None, "--capture") as laptop:
        yield laptop


def issuers(laptop: Laptop, proxy: str = PROXY) -> tuple[str, str]:
    """Of what slack sees of the bypassed host, and another program of the same."""
    return laptop.fetch("slack", BYPASSED, proxy).issuer, laptop.fetch("other", BYPASSED, proxy).issuer


ENFORCED = (ORIGIN_CA, INSPECTION_CA)


def test_a_change_of_the_rules_is_in_force_within_seconds(laptop: Laptop) -> None:
    assert issuers(laptop) == ENFORCED
    laptop.enforce([SLACK | {"programs": ["other"]}, PINNED])
    assert issuers(laptop) == (INSPECTION_CA, ORIGIN_CA)
    laptop.enforce(RULES)
    assert issuers(laptop) == ENFORCED


TUNNEL = """
import socket, ssl
sock = socket.create_connection(("127.0.0.1", 3129), 60)
sock.sendall(b"CONNECT pin.example:443 HTTP/1.1\\r\\nHost: pin.example:443\\r\\n\\r\\n")
assert b" 200 " in sock.recv(1000)
tls = ssl._create_unverified_context().wrap_socket(sock, server_hostname="pin.example")
print("open", flush=True)
try:
    print("end", tls.recv(1))
except OSError:
    print("cut")
"""


# Its socket would outlive an exec; in a network namespace the kernel tells nobody of those, so it may have been anyone.
UNTOLD = """
import socket
sock = socket.socket()
sock.set_inheritable(True)
sock.connect(("127.0.0.1", 3129))
sock.sendall(b"GET http://tool.example/ HTTP/1.1\\r\\nHost: tool.example\\r\\n\\r\\n")
print(sock.makefile("rb").read().decode())
"""


def test_what_is_no_longer_bypassed_is_cut(laptop: Laptop) -> None:
    place = laptop.helper.lines.now()
    with laptop.running("other", TUNNEL) as program:
        assert program.stdout is not None and program.stdout.readline() == "open\n"
        laptop.enforce([SLACK])
        try:
            line = laptop.helper.lines.after(place, host="pin.example")
            assert (line["action"], line["reason"], line["rule"]) == ("direct", "policy-change", "Pinned app")
            assert program.wait(20) == 0
        finally:
            laptop.enforce(RULES)


def test_with_the_service_away_the_rules_hold_also_after_a_restart(laptop: Laptop) -> None:
    """The inspector is away too: what it would have inspected is refused, and what is bypassed goes on."""
    service = laptop.world.service
    assert issuers(laptop) == ENFORCED
    laptop.world.space.call(service.stop)
    try:
        for _ in range(2):
            got, other = laptop.fetch("slack", BYPASSED), laptop.fetch("other", BYPASSED)
            assert (got.issuer, other.issuer) == (ORIGIN_CA, "")
            assert "502" in other.error
            laptop.helper.restart()
            assert laptop.helper.events("serving")[-1]["revision"] == laptop.helper.revision() != ""
        page = laptop.fetch("other", "http://tool.example/")
        assert page.status == 502 and "inspector cannot be reached" in page.text
    finally:
        laptop.world.space.call(service.start)
    wait_until(lambda: issuers(laptop) == ENFORCED, 30, "the service's return")


def captured(laptop: Laptop, program: str = "other") -> str:
    """Who signed what a program saw that knows of no proxy; "" where it was refused."""
    return laptop.fetch(program, INSPECTED, proxy="").issuer


def test_killed_while_it_fails_closed_nothing_passes_until_it_is_back(laptop: Laptop) -> None:
    assert captured(laptop) == INSPECTION_CA
    laptop.helper.end(SIGKILL)
    assert "refused" in laptop.fetch("other", INSPECTED, proxy="").error
    assert laptop.fetch("other", INSPECTED).error, "nor through the proxy, which is gone"
    laptop.helper.start()
    assert (captured(laptop), captured(laptop, "slack")) == (INSPECTION_CA, INSPECTION_CA)
    assert laptop.fetch("slack", BYPASSED, proxy="").issuer == ORIGIN_CA


def test_stopped_while_it_fails_closed_nothing_passes_until_it_is_released(laptop: Laptop) -> None:
    laptop.helper.end(SIGTERM)
    assert "refused" in laptop.fetch("other", INSPECTED, proxy="").error
    ended = laptop.helper.command("release")
    assert (ended.code, "nothing is captured now" in ended.out) == (0, True), ended.err
    assert captured(laptop) == ORIGIN_CA
    assert laptop.command("nft", "list", "ruleset").out == ""
    laptop.helper.start()
    assert captured(laptop) == INSPECTION_CA


def test_a_running_helper_is_not_released(laptop: Laptop) -> None:
    ended = laptop.helper.command("release")
    assert ended.code == 2 and f"another helper (process {laptop.helper.pid}) runs on" in ended.err
    assert captured(laptop) == INSPECTION_CA


def test_started_without_capture_it_lets_go_what_an_older_run_captured(laptop: Laptop) -> None:
    laptop.helper.end(SIGKILL)
    arguments, laptop.helper.arguments = laptop.helper.arguments, ()
    try:
        laptop.helper.start()
        assert captured(laptop) == ORIGIN_CA
        assert laptop.fetch("other", INSPECTED).issuer == INSPECTION_CA, "who asks the proxy is served"
        laptop.helper.end()
    finally:
        laptop.helper.arguments = arguments
    laptop.helper.start()
    assert captured(laptop) == INSPECTION_CA


@pytest.mark.needs("root")
def test_run_as_root_it_captures_roots_programs_and_not_itself(laptop: Laptop) -> None:
    helper = laptop.helper
    helper.end()
    prefix, helper.prefix = helper.prefix, ()
    try:
        helper.start()
        assert (captured(laptop), captured(laptop, "slack")) == (INSPECTION_CA, INSPECTION_CA)
        assert laptop.fetch("slack", BYPASSED, proxy="").issuer == ORIGIN_CA
        assert issuers(laptop) == ENFORCED
        assert not helper.events("capture is not in force")
        helper.end()
    finally:
        helper.prefix = prefix
        for path in (helper.folder, *helper.folder.rglob("*")):
            os.chown(path, UID, UID)
    helper.start()
    assert captured(laptop) == INSPECTION_CA


def test_killed_at_any_moment_of_its_start_it_starts_again(laptop: Laptop) -> None:
    laptop.helper.end()
    for after_s in (0.2, 0.4, 0.6, 0.8, 1.0):
        laptop.helper.launch()
        laptop.helper.wait(after_s)
        laptop.helper.end(SIGKILL)
    laptop.helper.start()
    assert issuers(laptop) == ENFORCED
    assert captured(laptop) == INSPECTION_CA


def test_asked_to_look_again_it_does(laptop: Laptop) -> None:
    laptop.helper.signal(SIGHUP)
    assert issuers(laptop) == ENFORCED


def test_a_second_helper_on_the_same_folder_and_one_on_the_same_port(laptop: Laptop) -> None:
    ended = laptop.helper.command("run")
    assert (
        ended.code == 2 and f"another helper (process {laptop.helper.pid}) runs on {laptop.helper.folder}" in ended.err
    )


@pytest.fixture(scope="class")
def other_modes(laptop: Laptop) -> Iterator[None]:
    with laptop.modes(helper_dead="open", inspector_unreachable="open", unknown_process="block"):
        yield


@pytest.mark.usefixtures("other_modes")
class TestOtherModes:
    """With every mode set to what is not its default."""

    def test_who_cannot_be_told_is_refused(self, laptop: Laptop) -> None:
        place = laptop.helper.lines.now()
        with laptop.running("other", UNTOLD) as program:
            out, _ = program.communicate(timeout=30)
        assert " 403 " in out and "is not known" in out, out
        line = laptop.helper.lines.after(place, host="tool.example")
        assert (line["action"], line["reason"], line["program"]) == ("refuse", "unknown-program", "")
        assert issuers(laptop) == ENFORCED

    def test_an_unreachable_inspector_is_passed_by(self, laptop: Laptop) -> None:
        service = laptop.world.service
        laptop.world.space.call(service.stop)
        try:
            place = laptop.helper.lines.now()
            assert laptop.fetch("other", INSPECTED).issuer == ORIGIN_CA
            line = laptop.helper.lines.after(place, host="inspected.example")
            assert (line["action"], line["reason"]) == ("direct", "inspector-unreachable")
        finally:
            laptop.world.space.call(service.start)
        wait_until(lambda: laptop.fetch("other", INSPECTED).issuer == INSPECTION_CA, 20, "the inspector's return")

    @pytest.mark.needs("nft")
    def test_the_kernel_lets_go_of_what_was_captured(self, laptop: Laptop) -> None:
        """By itself when the helper was killed; at once when it was stopped."""
        assert captured(laptop) == INSPECTION_CA
        laptop.helper.end(SIGKILL)
        wait_until(lambda: captured(laptop) == ORIGIN_CA, 40, "the end of what was held")
        laptop.helper.start()
        assert captured(laptop) == INSPECTION_CA
        laptop.helper.end(SIGTERM)
        assert captured(laptop) == ORIGIN_CA
        assert laptop.command("nft", "list", "ruleset").out == ""
        laptop.helper.start()


def test_a_revoked_device_is_shut_out_and_enforces_what_it_knows(laptop: Laptop) -> None:
    """The last one: there is no way back but to enrol anew."""
    service = laptop.world.service
    (device,) = service.ask("GET", "/endpoints")["devices"]
    assert issuers(laptop) == ENFORCED
    revoked = service.ask("POST", "/endpoints/revoke", {"which": device["device_id"]})
    assert revoked["devices"] == 1
    wait_until(lambda: laptop.fetch("other", BYPASSED).issuer == "", 20, "the inspector's refusal")
    assert laptop.fetch("slack", BYPASSED).issuer == ORIGIN_CA, "what it is not needed for goes on"
    doctor = laptop.helper.command("doctor", "--json")
    problems = {found["subject"] for found in json.loads(doctor.out) if found["state"] == "problem"}
    assert doctor.code == 1 and {"control service", "inspector"} <= problems
    token = service.ask("POST", "/endpoints/token", {})["token"]
    laptop.helper.end()
    again = laptop.helper.command("enrol", token)
    assert again.code == 2 and "enrolled already" in again.err
    assert laptop.helper.command("enrol", token, "--anew").code == 0
    laptop.helper.start()
    assert issuers(laptop) == ENFORCED
