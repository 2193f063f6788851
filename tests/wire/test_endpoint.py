"""The whole of it on two machines: a service, and a laptop whose helper knows the program behind each connection.

Everything is a process of its own: ``steering serve``, ``steering endpoint enrol`` and ``run``, and the programs, which
are one program under several names.
"""

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steering.endpoint.install.service_systemd import unit
from tests.service import STEERING, rules_text
from tests.wire.laptop import HERE, HERE6, PROXY, Laptop, running_laptop
from tests.wire.world import BY_DEFAULT, INSPECTION_CA, ORIGIN_CA, ORIGIN_TEXT

pytestmark = pytest.mark.needs("unshare", "setpriv", "systemd-analyze", "seccomp")

RULES: list[dict[str, Any]] = [
    {"name": "Slack", "programs": ["slack"], "domains": ["tool.example", "six.example"]},
    {"name": "Pinned app", "domains": ["pin.example"]},
    {"name": "No gambling", "action": "block", "domains": ["blocked.example"]},
    {"name": "Sales", "domains": ["lab.example"], "source": ["group:sales"]},
    {"name": "Root's", "domains": ["later.example"], "source": ["user:root"]},
    {"name": "Not eve", "domains": ["cdn.example"], "source": ["user:eve"]},
]
TEXT = rules_text(RULES, groups={"sales": {"networks": ["203.0.113.0/24"]}})


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The helper within what its unit allows: by its filter of system calls, without memory written and executed."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "helper.service").write_text(unit(STEERING, everybody=True))
    within = (sys.executable, "-m", "tests.confined", str(folder / "helper.service"), "--")
    with running_laptop(folder, TEXT, None, "--capture", group="sales", within=within) as laptop:
        assert "Seccomp:\t2\n" in Path(f"/proc/{laptop.helper.pid}/status").read_text()
        yield laptop


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What ``program`` must get of ``host``.

    action: of the helper's line.  inspector: of the inspector's, "" for none.  family: of addresses, 0 for any.
    """

    program: str
    host: str
    action: str
    rule: str | None = None
    inspector: str = ""
    scheme: str = "https"
    family: int = 0


CASES = {
    "its rule": Case(program="slack", host="tool.example", action="direct", rule="Slack"),
    "the same under another name": Case(program="other", host="tool.example", action="proxy", inspector="open"),
    "another host": Case(program="slack", host="inspected.example", action="proxy", inspector="open"),
    "a rule for every program": Case(program="other", host="app.pin.example", action="direct", rule="Pinned app"),
    "a group that the device is of": Case(program="other", host="lab.example", action="direct", rule="Sales"),
    "a user's rule": Case(program="other", host="later.example", action="direct", rule="Root's"),
    "another user's rule": Case(program="other", host="cdn.example", action="proxy", inspector="open"),
    "plain HTTP, its rule": Case(
        program="slack", host="tool.example", action="direct", rule="Slack", scheme="http"
    ),
    "plain HTTP, another": Case(
        program="other", host="tool.example", action="proxy", inspector="open", scheme="http"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_a_program_gets_through_the_proxy(case: Case, laptop: Laptop) -> None:
    _check(case, laptop, "127.0.0.1", proxy=PROXY)


CAPTURED = CASES | {
    "IPv4 in IPv6, its rule": Case(
        program="slack", host="tool.example", action="direct", rule="Slack", family=socket.AF_INET6
    ),
    "IPv4 in IPv6, another": Case(
        program="other", host="tool.example", action="proxy", inspector="open", family=socket.AF_INET6
    ),
    "IPv6, its rule": Case(program="slack", host="six.example", action="direct", rule="Slack"),
    "IPv6, another": Case(program="other", host="six.example", action="proxy", inspector="open"),
}


@pytest.mark.needs("nft")
@pytest.mark.parametrize("case", CAPTURED.values(), ids=list(CAPTURED))
def test_what_a_program_gets_that_knows_of_no_proxy(case: Case, laptop: Laptop) -> None:
    _check(case, laptop, HERE6 if case.host == "six.example" else HERE, proxy="")


def _check(case: Case, laptop: Laptop, client: str, proxy: str) -> None:
    place, there = laptop.helper.lines.now(), laptop.world.lines.now()
    got = laptop.fetch(case.program, f"{case.scheme}://{case.host}/", proxy, case.family)
    issuer = {"https": ORIGIN_CA if case.action == "direct" else INSPECTION_CA, "http": ""}[case.scheme]
    assert (got.error, got.status, got.issuer) == ("", 200, issuer)
    assert ORIGIN_TEXT in got.text
    line = laptop.helper.lines.after(place, host=case.host)
    expected = ("endpoint", client, case.action, case.rule, case.program, "root", "")
    assert tuple(line[k] for k in ("point", "client", "action", "rule", "program", "user", "reason")) == expected
    if case.inspector:
        line = laptop.world.lines.after(there, host=case.host, point="inspector")
        assert (line["client"], line["action"], line["program"], line["user"], line["why"], line["pending"]) == (
            *(HERE, case.inspector, case.program, "root"),
            *(BY_DEFAULT, []),
        )
    else:
        assert laptop.world.lines.since(there, host=case.host, point="inspector") == []


def test_blocked(laptop: Laptop) -> None:
    there = laptop.world.lines.now()
    got = laptop.fetch("slack", "https://blocked.example/")
    assert (got.issuer, got.status) == (INSPECTION_CA, 403) and "No gambling" in got.text
    line = laptop.world.lines.after(there, host="blocked.example", point="inspector")
    assert (line["action"], line["rule"], line["program"]) == ("block", "No gambling", "slack")


@pytest.mark.needs("curl")
def test_curl_by_socks(laptop: Laptop) -> None:
    ended = laptop.command(
        *("curl", "-sS", "--max-time", "20", "--cacert", laptop.world.both_cas),
        *("--proxy", PROXY.replace("http://", "socks5h://"), "https://app.pin.example/"),
    )
    assert (ended.code, ORIGIN_TEXT in ended.out) == (0, True), ended.err


def test_without_attestation_a_rule_by_program_bypasses_nothing(laptop: Laptop) -> None:
    """The same program straight at the inspector: nobody vouches for its name there."""
    world = laptop.world
    place = world.lines.now()
    ended = world.curl("-v", "-x", "http://127.0.0.1:3128", "-H", "Steering-Program: slack", "https://tool.example/")
    assert INSPECTION_CA in ended.err
    line = world.lines.after(place, host="tool.example", point="inspector")
    assert (line["action"], line["program"], line["pending"]) == ("open", "", ["program"])


def test_identify_and_explain_on_the_laptop(laptop: Laptop) -> None:
    told = laptop.helper.command("explain", "tool.example", "--program", "slack", "--json")
    answer = json.loads(told.out)
    assert (answer["action"], answer["rule"], answer["points"]["endpoint"]) == ("bypass", "Slack", "direct")
    assert answer["points"]["pac"] == "PROXY 127.0.0.1:3129"
    told = laptop.helper.command("explain", "lab.example", "--json")
    assert json.loads(told.out)["points"]["endpoint"] == "direct", "the device's own group is known"
    assert laptop.helper.command("explain", "tool.example", "--program", "other").out.startswith(
        "tool.example: inspect"
    )


def test_what_the_service_knows_of_the_laptop(laptop: Laptop) -> None:
    listed = laptop.world.service.ask("GET", "/endpoints")
    (found,) = listed["devices"]
    assert found["group"] == "sales" and found["report"]["address"] == HERE
    assert found["report"]["revision"] in ("", listed["revision"])
    assert found["report"]["self_test"].startswith("passed: IPv4: by socket map")
