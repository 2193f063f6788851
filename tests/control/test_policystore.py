"""From a rules text to everything that is enforced, or every reason why not."""

import contextlib
import gc
import os
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from steering.control.config import load_config
from steering.control.errors import PolicyUnusable
from steering.control.policystore import (
    enforceable,
    enforceable_policy,
    opened_networks,
    own_names,
    read_source,
    reserved_settings,
)
from steering.pac.publish import PacSettings
from steering.policy import ReservedSettings
from steering.policy.json_text import MAX_BYTES
from steering.policy.rules import NO_CATEGORIES
from tests.control.rigs import enforced_of
from tests.service import RULES, rules_text


def test_enforced() -> None:
    made = enforced_of(RULES)
    assert made.source == rules_text(RULES)
    assert [rule.name for rule in made.policy.rules] == ["pinned", "banned"]
    assert made.pacs is not None and b"pinned" in made.pacs.anonymous.body


def test_a_policy_that_is_compiled_already_makes_the_same() -> None:
    made = enforced_of(RULES)
    again = enforceable_policy(
        made.policy,
        b"",
        shown="https://control.example:8444",
        pac=PacSettings(inspectors=("proxy.example:3128",)),
        at=0.0,
    )
    assert made.pacs is not None and again.pacs is not None
    assert (again.policy, again.pacs.anonymous.body, again.source) == (made.policy, made.pacs.anonymous.body, b"")


# Text -> what administrators read, and what everyone does.
UNUSABLE: dict[bytes, tuple[list[str], str]] = {
    b"": (["/etc/steering/rules.json:1:1 error: "], "rules.json:1:1: an error"),
    b'{"rules": [{"name": "a"},\n {"name": "a", "action": "x", "domains": ["com"]}]}': (
        ["/etc/steering/rules.json:1:", "/etc/steering/rules.json:2:"],
        "rules.json:1:",
    ),
}


@pytest.mark.parametrize("text", UNUSABLE)
def test_unusable(text: bytes) -> None:
    starts, summary = UNUSABLE[text]
    with pytest.raises(PolicyUnusable) as caught:
        enforceable(
            text,
            shown="/etc/steering/rules.json",
            categories=NO_CATEGORIES,
            reserved=ReservedSettings(),
            pac=PacSettings(inspectors=("p.example:1",)),
            at=0.0,
        )
    lines = str(caught.value).splitlines()
    for start in starts:
        assert any(line.startswith(start) for line in lines), lines
    assert caught.value.summary.startswith(summary) and "\n" not in caught.value.summary
    assert "com" not in caught.value.summary.replace("command", "").partition(";")[0]


def test_a_pac_that_fails_a_gate_is_a_reason_too(tmp_path: Path) -> None:
    with pytest.raises(PolicyUnusable, match="no inspector address") as caught:
        enforceable(
            rules_text(RULES),
            shown="/x/rules.json",
            categories=NO_CATEGORIES,
            reserved=ReservedSettings(),
            pac=PacSettings(inspectors=("nonsense",)),
            at=0.0,
        )
    assert caught.value.summary.startswith("rules.json: these rules fail their checks")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    with pytest.raises(PolicyUnusable, match="No such file") as caught:
        read_source(path)
    assert caught.value.summary == "rules.json cannot be read"
    with pytest.raises(PolicyUnusable, match="Is a directory"):
        read_source(tmp_path)
    path.write_bytes(b"x" * (MAX_BYTES + 5))
    assert len(read_source(path)) == MAX_BYTES + 1, "one more than can be, and no more"


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(PolicyUnusable, match="a named pipe, not a file"):
            read_source(tmp_path / name)


def test_the_pipe_of_a_shell_is_read() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(b"{}")
    try:
        assert read_source(Path(f"/dev/fd/{reading}")) == b"{}"
    finally:
        os.close(reading)


def test_reserved() -> None:
    environment = {
        "STEERING_POLICY_INTERNAL_ZONES": "Corp.Example.",
        "STEERING_POLICY_INTERNAL_NETWORKS": "10.0.0.0/8",
        "STEERING_DNS_ZONES": '{"lab.example": ["192.0.2.1"], "corp.example": ["192.0.2.1"]}',
        "STEERING_CONTROL_PUBLIC_URL": "http://s.example:8080",
    }
    assert reserved_settings(load_config(None, environment).config) == ReservedSettings(
        internal_zones=("corp.example", "lab.example"),
        internal_networks=(ip_network("10.0.0.0/8"),),
        own_names=("s.example",),
    )


def test_the_services_own_names_are_all_that_clients_call_it_by() -> None:
    environment = {
        "STEERING_CONTROL_PUBLIC_URL": "http://S.example:8080",
        "STEERING_CONTROL_ENDPOINT_URL": "https://devices.example:8444",
        "STEERING_INSPECTOR_ADVERTISE": "proxy.example:3128,192.0.2.1:3128,s.example:3128",
        "STEERING_INSPECTOR_ENDPOINT_ADVERTISE": "helpers.example:3130,[2001:db8::1]:3130",
    }
    names = own_names(load_config(None, environment).config)
    assert names == ("s.example", "devices.example", "proxy.example", "helpers.example")
    assert own_names(load_config(None, {}).config) == ()


def test_what_the_guard_lets_through() -> None:
    environment = {"STEERING_INSPECTOR_ALLOW_DESTINATIONS": "127.0.0.0/8,2001:db8::/32"}
    assert opened_networks(load_config(None, environment).config) == (
        ip_network("127.0.0.0/8"),
        ip_network("2001:db8::/32"),
    )


@pytest.mark.parametrize("source", [rules_text(RULES), b"{"])
def test_the_interpreter_is_left_as_it_was_found(source: bytes) -> None:
    def found() -> tuple[bool, float]:
        return gc.isenabled(), sys.getswitchinterval()

    before = found()
    with contextlib.suppress(PolicyUnusable):
        enforceable(source, shown="rules.json", categories=NO_CATEGORIES, reserved=ReservedSettings(), at=0.0)
    assert found() == before
