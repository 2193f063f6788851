"""``steering endpoint token`` and ``steering endpoints``, against a real service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steering.cli import endpoints
from steering.formats.enrolment import parse_token
from tests.cli.runner import nowhere, run
from tests.service import RULES, LiveService, Settings, rules_text, service_in

ALONE: Settings = {"inspector": {"advertise": ["proxy.example:3128"], "endpoint_advertise": ["proxy.example:3130"]}}
FOR_HELPERS: Settings = {**ALONE, "control": {"listen": "127.0.0.1:0", "endpoint_listen": "127.0.0.1:0"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    folder = tmp_path_factory.mktemp("service")
    rules = rules_text(RULES, groups={"sales": {"networks": []}})
    made = service_in(folder, rules, FOR_HELPERS, "--only", "control")
    try:
        yield made.start()
    finally:
        made.stop()


def told(service: LiveService, *arguments: str, code: int = 0) -> str:
    result = run(*arguments, "--config", service.config)
    assert result.exit_code == code, result.output
    return result.output


def told_json(service: LiveService, *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(told(service, *arguments, "--json"))
    return answer


def test_a_token_is_made_listed_and_revoked(service: LiveService) -> None:
    made = told_json(service, "endpoint", "token", "--group", "sales", "--uses", "3", "--hours", "2")
    assert parse_token(made["token"]).url == f"https://{service.addresses['control, for helpers']}"
    assert f"token {made['id']}  sales  3 left" in told(service, "endpoints", "list")
    assert made["id"] in [row["token_id"] for row in told_json(service, "endpoints", "list")["tokens"]]
    assert "0 devices and 1 tokens revoked" in told(service, "endpoints", "revoke", made["id"])
    assert "0 devices and 0 tokens revoked" in told(service, "endpoints", "revoke", made["id"], code=1)
    assert told_json(service, "endpoint", "token")["uses"] == 1


def test_for_people_the_token_stands_alone(service: LiveService) -> None:
    first, *rest = told(service, "endpoint", "token").splitlines()
    parse_token(first)
    assert "good for one device until" in " ".join(rest)


def test_wrong_use(service: LiveService) -> None:
    assert "no group 'nobody'" in told(service, "endpoint", "token", "--group", "nobody", code=2)
    assert "1 to 100000 devices" in told(service, "endpoint", "token", "--uses", "0", code=2)


def test_keys_are_rotated(service: LiveService) -> None:
    assert "new keys" in told(service, "endpoints", "rotate-keys")


def test_where_helpers_are_not_served(tmp_path: Path) -> None:
    service = service_in(tmp_path, RULES, ALONE, "--only", "control")
    try:
        service.start()
        assert "set control.endpoint_listen" in told(service, "endpoints", "list", code=1)
    finally:
        service.stop()


def test_what_devices_say_of_themselves_forges_no_line_and_steers_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device = {
        "device_id": "a" * 32,
        "name": "x\x1b[2J\n" + "b" * 32 + "  admin  -  Linux",
        "group": "",
        "system": "Linux\r",
        "revoked_at": None,
        "seen_at": 1.0,
        "report": {"revision": "\x1br", "drift": {"ca\x07": "gone\n"}, "error": "e\x1b" + "y" * 4000},
    }
    answer = {"devices": [device], "tokens": [], "revision": "r"}
    monkeypatch.setattr(endpoints, "configuration", lambda *_: None)
    monkeypatch.setattr(endpoints, "ask_service", lambda *_: answer)
    endpoints.list_()
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable() and len(out) < 1000
    assert out.split("  ") == [
        "a" * 32,
        "x\\x1b[2J\\n" + "b" * 32 + " admin - Linux",
        "-",
        "Linux\\r",
        "heard 1970-01-01 00:00 UTC",
        "policy \\x1br",
        "ca\\x07: gone\\n",
        "e\\x1b" + "y" * 292 + "...\n",
    ]


def test_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    result = run("endpoints", "list")
    assert (result.exit_code, "no service answers" in result.output) == (1, True)


DEVICE = {
    "device_id": "ab" * 16,
    "name": "laptop",
    "group": "",
    "system": "Linux",
    "revoked_at": None,
    "seen_at": 1_800_000_000,
    "report": None,
}
REPORT = {"revision": "r1", "drift": {}, "error": ""}
HEARD = "heard 2027-01-15 08:00 UTC"

# What is known of a device -> the end of its line.
LINES: list[tuple[dict[str, object], str]] = [
    ({}, HEARD),
    ({"seen_at": None}, "never heard"),
    ({"revoked_at": 1_800_000_000}, "revoked 2027-01-15 08:00 UTC"),
    ({"report": REPORT}, f"{HEARD}  ok"),
    ({"report": REPORT | {"revision": "r0"}}, f"{HEARD}  policy r0"),
    ({"report": REPORT | {"revision": ""}}, f"{HEARD}  policy none"),
    ({"report": REPORT | {"drift": {"ca": "missing", "proxy": "ok"}}}, f"{HEARD}  ca: missing"),
    ({"report": REPORT | {"error": "disk full"}}, f"{HEARD}  disk full"),
]


@pytest.mark.parametrize(("changes", "end"), LINES)
def test_lines(monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], end: str) -> None:
    answer = {"revision": "r1", "devices": [DEVICE | changes], "tokens": []}
    monkeypatch.setattr(endpoints, "ask_service", lambda *_: answer)
    assert run("endpoints", "list").output == f"{'ab' * 16}  laptop  -  Linux  {end}\n"
