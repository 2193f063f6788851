"""``steering doctor`` against a real service, and without one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.control.listening import Role
from tests.cli.runner import run
from tests.service import LiveService, rules_text, service_in, toml

RULES = [{"name": "pinned", "domains": ["pinned.example"]}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    settings = {
        "control": {"endpoint_listen": "127.0.0.1:0", "endpoint_url": "https://s.example:8444"},
        "inspector": {"endpoint_listen": "127.0.0.1:0"},
        "dns": {"tls_listen": "127.0.0.1:0", "https_listen": "127.0.0.1:0"},
    }
    running = service_in(tmp_path_factory.mktemp("service"), rules_text(RULES), settings).start()
    yield running
    running.stop()


def doctor(service: LiveService) -> tuple[int, dict[str, str]]:
    result = run("doctor", "--config", service.config, "--json")
    return result.exit_code, {finding["subject"]: finding["state"] for finding in json.loads(result.stdout)}


def test_every_listener_of_a_running_service_answers(service: LiveService) -> None:
    code, found = doctor(service)
    assert {subject for subject, state in found.items() if state != "ok"} == {"upstream DNS"}, "nobody is at port 9"
    assert {role.value for role in Role} <= set(found)
    assert {f"port of {role.value}" for role in Role} <= set(found)
    assert {"service", "state folder", "disk", "clock", "rules", "PAC", "policy", "CA", "CA for clients"} <= set(found)
    assert code == 1


def test_in_words(service: LiveService) -> None:
    result = run("doctor", "--config", service.config)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "ok      service: runs and answers"
    bad = next(i for i, line in enumerate(lines) if line.startswith("error"))
    assert lines[bad].startswith("error   upstream DNS: udp://127.0.0.1:9: no answer")
    assert lines[bad + 1].startswith("        look at the firewall")


def test_rules_that_are_not_in_force(service: LiveService) -> None:
    service.write_rules(b'{"rules": [{"name": "x", "domains": ["com"]}]}')
    service.reload()
    assert doctor(service)[1]["rules"] == "error"
    service.enforce(rules_text(RULES))
    assert doctor(service)[1]["rules"] == "ok"


def test_without_a_service(tmp_path: Path) -> None:
    stopped = service_in(tmp_path, rules_text(RULES))
    stopped.config.write_text(toml(stopped.settings))
    code, found = doctor(stopped)
    assert (code, found["service"], found["rules"]) == (1, "warning", "ok")
