"""What is gathered of a machine without a service; tests/cli/test_doctor.py looks at one that runs."""

import os
import socket
from pathlib import Path

import pytest

from steering.control.config import Loaded, load_config
from steering.control.doctor import gather, holder_of
from steering.control.doctor_facts import Facts, Held
from steering.control.listening import Role
from steering.control.status import Status
from tests.service import QUIET, over, rules_text, toml

OFF = (Role.ENDPOINT, Role.ENDPOINT_CONTROL, Role.DNS_TLS, Role.DNS_HTTPS)  # until they are asked for
ON = {role.value for role in Role if role not in OFF}


def loaded(folder: Path, **changes: dict[str, object]) -> Loaded:
    (folder / "steering.toml").write_text(toml(over(QUIET, changes)))
    (folder / "rules.json").write_bytes(rules_text([{"name": "a", "domains": ["a.example"]}]))
    return load_config(folder / "steering.toml", {})


def held(facts: Facts) -> dict[str, Held]:
    return {port.role: port.held for port in facts.ports}


def test_nothing_is_made(tmp_path: Path) -> None:
    facts = gather(loaded(tmp_path), None, "silent")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rules.json", "steering.toml"]
    assert (facts.running, facts.silent, facts.holder, facts.ca, facts.listeners) == (None, "silent", 0, None, ())
    assert (facts.folder.exists, facts.folder.writable, facts.rules.problem) == (False, True, "")
    assert held(facts) == dict.fromkeys(ON, Held.FREE)
    assert [(seen.what, bool(seen.problem)) for seen in facts.upstreams] == [("upstream DNS", True)]


def test_a_port_that_is_taken_and_an_address_that_is_not_here(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        facts = gather(loaded(tmp_path, control={"listen": taken}, inspector={"listen": "192.0.2.1:3128"}), None, "")
    assert held(facts)[Role.CONTROL.value] is Held.TAKEN
    assert held(facts)[Role.EXPLICIT.value] is Held.ABSENT


def test_rules_that_cannot_be_enforced(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    config.rules.write_text('{"rules": [{"name": "a", "domains": ["com"]}]}')
    assert str(config.rules) in gather(config, None, "").rules.problem


def test_an_upstream_that_is_ourselves(tmp_path: Path) -> None:
    dns: dict[str, object] = {"listen": "127.0.0.1:5399", "upstreams": ["udp://127.0.0.1:5399"]}
    facts = gather(loaded(tmp_path, dns=dns), None, "")
    assert "is this resolver itself" in facts.upstreams_problem


def test_a_ca_that_others_can_read(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    (config.state / "ca").mkdir(parents=True, mode=0o755)
    (config.state / "ca" / "ca.pem").touch()
    (config.state / "ca").chmod(0o755)
    ca = gather(config, None, "").ca
    assert ca is not None
    assert "can be read by others" in ca.problem


def test_a_service_that_follows(tmp_path: Path) -> None:
    """It has no rules file, needs the CA of the other one for an inspector alone, and is asked for what it runs."""
    config = loaded(tmp_path, follow={"url": "https://control.example:8444", "token": "t", "ca": "shared/ca"})
    config.rules.unlink()
    facts = gather(config, None, "silent")
    assert (facts.rules.followed, facts.rules.problem, facts.rules.last_good) == (
        "https://control.example:8444",
        "",
        False,
    )
    assert facts.ca is not None and "mount the control service's CA there" in facts.ca.problem
    status = Status(parts=["dns"], revision="r", warnings=["w"]).as_json()
    facts = gather(config, status, "")
    assert facts.ca is None and set(held(facts)) == {Role.DNS_UDP.value, Role.DNS_TCP.value}
    assert facts.running is not None and facts.running.warnings == ("w",)


def test_who_has_the_lock(tmp_path: Path) -> None:
    lock, table = tmp_path / "lock", tmp_path / "locks"
    assert holder_of(lock) == 0
    lock.touch()
    table.write_text(f"1: POSIX  ADVISORY  WRITE 1 08:01:{lock.stat().st_ino} 0 EOF\n")
    assert holder_of(lock, table) == 0
    table.write_text(f"1: FLOCK  ADVISORY  WRITE {os.getpid()} 08:01:{lock.stat().st_ino} 0 EOF\n")
    assert holder_of(lock, table) == os.getpid()


@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_the_mode_of_the_folder(tmp_path: Path, mode: int) -> None:
    config = loaded(tmp_path)
    config.state.mkdir()
    config.state.chmod(mode)
    assert gather(config, None, "").folder.mode == mode
