"""``steering status``, ``reload``, ``explain --live`` and ``pac token`` against a real service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.runner import run
from tests.service import LiveService, rules_text, service_in

PINNED = {"name": "pinned", "domains": ["pinned.example"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    rules = [PINNED, {"name": "s", "source": ["group:sales"], "domains": ["s.example"]}]
    text = rules_text(rules, groups={"sales": {"networks": ["10.0.0.0/8"]}})
    running = service_in(tmp_path_factory.mktemp("service"), text).start()
    yield running
    running.stop()


def ask(service: LiveService, *arguments: str) -> tuple[int, str, str]:
    result = run(*arguments, "--config", service.config)
    return result.exit_code, result.stdout, result.stderr


def test_status(service: LiveService) -> None:
    code, out, _ = ask(service, "status", "--json")
    answer = json.loads(out)
    assert (code, answer["state"], answer["error"], answer["rules"]) == (0, "ok", None, 2)
    code, out, _ = ask(service, "status")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"ok: policy {answer['revision']} since 20")
    assert lines[1] == f"2 rules (2 enabled) with 2 domains from {service.rules}"
    assert [line.split()[-1] for line in lines[3:]] == list(answer["addresses"].values())


def test_readiness(service: LiveService, tmp_path: Path) -> None:
    revision = service.status()["revision"]
    assert ask(service, "status", "--ready") == (0, f"ready: policy {revision}\n", "")
    assert run("status", "--ready", "--state", tmp_path).exit_code == 1, "nobody is there"


@pytest.mark.parametrize("ready", [True, False])
def test_readiness_is_what_the_service_says(monkeypatch: pytest.MonkeyPatch, ready: bool) -> None:
    monkeypatch.setattr("steering.cli.status.ask_service", lambda *_: {"is_ready": ready, "revision": "r"})
    assert run("status", "--ready").exit_code == (0 if ready else 1)


def test_live_and_offline_say_the_same(service: LiveService) -> None:
    question = ["explain", "www.pinned.example", "--source", "10.1.1.1", "--program", "zoom", "--json"]
    inspector = service.proxy.removeprefix("http://")
    live = json.loads(ask(service, *question, "--live")[1])
    offline = json.loads(ask(service, *question, "--inspector", inspector)[1])
    assert live == offline
    inspected = ["explain", "x.example", "--json", "--at", "2026-12-31T00:00:00Z"]
    assert json.loads(ask(service, *inspected, "--live")[1]) == json.loads(
        ask(service, *inspected, "--inspector", inspector)[1]
    )


def test_live_in_words(service: LiveService) -> None:
    code, out, _ = ask(service, "explain", "pinned.example", "--live")
    assert (code, out.splitlines()[:2]) == (0, ["pinned.example: bypass", "  rule 'pinned': pinned.example"])


@pytest.mark.parametrize("arguments", [["a b"], ["x.example", "--source", "x"], ["x.example", "--program", "a.*"]])
def test_live_bad_input_is_wrong_use(arguments: list[str], service: LiveService) -> None:
    code, out, err = ask(service, "explain", *arguments, "--live")
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_tokens(service: LiveService) -> None:
    code, out, _ = ask(service, "pac", "token", "add", "sales")
    assert code == 0
    assert "s.example" in service.pac(out.strip())
    listed = json.loads(ask(service, "pac", "token", "list", "--json")[1])
    assert [row["group"] for row in listed] == ["sales"]
    assert ask(service, "pac", "token", "list")[1] == f"{listed[0]['id']}  sales\n"
    assert ask(service, "pac", "token", "revoke", listed[0]["id"])[:2] == (0, "1 revoked\n")
    assert ask(service, "pac", "token", "revoke", listed[0]["id"])[:2] == (1, "0 revoked\n")
    code, out, err = ask(service, "pac", "token", "add", "nobody")
    assert (code, out) == (2, "")
    assert err.startswith("there is no group 'nobody'")
    assert json.loads(ask(service, "pac", "token", "add", "sales", "--json")[1])["group"] == "sales"


def test_reload_and_what_keeps_it_from_being_in_force(service: LiveService) -> None:
    before = service.rules.read_bytes()
    assert ask(service, "rules", "add", "new", "--domain", "new.example")[0] == 0
    code, out, _ = ask(service, "reload", "--json")
    assert (code, json.loads(out)["rules"]) == (0, 3)
    service.write_rules(b'{"rules": [')
    code, out, err = ask(service, "reload")
    assert (code, out.startswith("degraded: policy ")) == (1, True)
    assert err.startswith("the newest rules are not in force:\n")
    code, out, err = ask(service, "status")
    assert (code, out.splitlines()[1].startswith("3 rules")) == (1, True)
    service.write_rules(before)
    assert ask(service, "reload")[0] == 0


def test_another_state_folder_has_no_service(service: LiveService, tmp_path: Path) -> None:
    code, out, err = ask(service, "status", "--state", str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith(f"no service answers on {tmp_path}/steering.sock")
