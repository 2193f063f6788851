"""``steering endpoint enrol`` and ``run``, as processes and against a real service."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.runner import STEERING, run, spawn
from tests.kit import wait_until
from tests.service import RULES, LiveService, Settings, environment, rules_text, service_in

FOR_HELPERS: Settings = {
    "control": {"listen": "127.0.0.1:0", "endpoint_listen": "127.0.0.1:0"},
    "inspector": {"advertise": ["proxy.example:3128"], "endpoint_advertise": ["proxy.example:3130"]},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    rules = rules_text(RULES, groups={"sales": {"networks": []}})
    made = service_in(tmp_path_factory.mktemp("service"), rules, FOR_HELPERS, "--only", "control")
    try:
        yield made.start()
    finally:
        made.stop()


def token(service: LiveService, group: str = "") -> str:
    return str(service.ask("POST", "/endpoints/token", {"group": group})["token"])


def test_enrol_says_what_became_of_it(service: LiveService, tmp_path: Path) -> None:
    state = ("--state", tmp_path / "helper")
    done = spawn("endpoint", "enrol", token(service, "sales"), *state, "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert answer == {
        "device": answer["device"],
        "group": "sales",
        "service": f"https://{service.addresses['control, for helpers']}",
        "state": str(tmp_path / "helper"),
        "revision": service.status()["revision"],
    }
    assert (tmp_path / "helper").stat().st_mode & 0o777 == 0o700
    done = spawn("endpoint", "enrol", token(service), *state, cwd=tmp_path)
    assert done.returncode == 2 and "is enrolled already; --anew" in done.stderr
    done = spawn("endpoint", "enrol", token(service), *state, "--anew", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].startswith(f"enrolled with {answer['service']} as device ")
    assert lines[1] == f"policy {answer['revision']}"


def test_a_token_from_standard_input_is_in_no_list_of_processes(service: LiveService, tmp_path: Path) -> None:
    done = subprocess.run(
        [*STEERING, "endpoint", "enrol", "-", "--state", str(tmp_path / "helper"), "--name", "desk 7"],
        input=token(service) + "\n",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "desk 7" in [row["name"] for row in service.ask("GET", "/endpoints")["devices"]]


WRONG = {
    "no token": (["enrol", "rubbish"], "that is no enrolment token: one begins with 'st1.'"),
    "a damaged one": (["enrol", "st1.AAAA"], "the enrolment token is damaged: copy it again, whole"),
    "not enrolled": (["run"], "is not enrolled: run 'steering endpoint enrol TOKEN' first"),
    "another address": (["run", "--listen", "0.0.0.0:1"], "the helper serves this computer alone"),
    "no such format": (["run", "--log-format", "xml"], "log_format is console or json"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_use(case: str, tmp_path: Path) -> None:
    arguments, says = WRONG[case]
    done = spawn("endpoint", *arguments, "--state", tmp_path / "helper", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_banner_and_the_end(service: LiveService, tmp_path: Path) -> None:
    """Where it is, what it enforces, what to do next; Ctrl-C ends it with 0."""
    state = tmp_path / "helper"
    assert spawn("endpoint", "enrol", token(service, "sales"), "--state", state, cwd=tmp_path).returncode == 0
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [*STEERING, "endpoint", "run", "--state", str(state), "--listen", "127.0.0.1:0"],
            env=environment(),
            stdout=out,
            stderr=err,
        )
    try:
        wait_until(lambda: "Stop with Ctrl-C" in (tmp_path / "out").read_text(), 30, "the banner")
        lines = (tmp_path / "out").read_text().splitlines()
        assert lines[0].startswith("The helper of device ")
        assert f" (group sales) enforces policy {service.status()['revision']}, issued " in lines[0]
        proxy = next(line.split()[-1] for line in lines if "proxy (CONNECT, HTTP, SOCKS5)" in line)
        assert f"  automatic configuration (PAC)    http://{proxy}/proxy.pac" in lines
        assert f"  curl -x http://{proxy} https://example.com/" in lines
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
    assert "Traceback" not in (tmp_path / "err").read_text()


def test_every_command_has_its_help() -> None:
    for name in ("run", "enrol", "token", "identify", "explain", "doctor", "install", "uninstall", "release"):
        result = run("endpoint", name, "--help")
        assert result.exit_code == 0 and "Usage: " in result.stdout, name
