"""``steering pac``: the PAC that a requester gets, and the tokens of groups."""

from pathlib import Path

import pytest

from steering.cli.offline import pac_settings
from steering.cli.running import configuration
from steering.pac.chains import plan_chains
from tests.cli.runner import a_copy, nowhere, run
from tests.service import rules_text

RULES = [
    {"name": "all", "domains": ["all.example"]},
    {"name": "net", "source": ["10.1.0.0/16"], "domains": ["net.example"]},
    {"name": "group", "source": ["group:sales"], "domains": ["group.example"]},
]


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    nowhere(tmp_path, monkeypatch)
    path = tmp_path / "rules.json"
    path.write_bytes(rules_text(RULES, groups={"sales": {"networks": ["10.2.0.0/16"]}}))
    return path


def listed(*arguments: str | Path) -> set[str]:
    """Which of the three names the PAC knows."""
    result = run("pac", *arguments)
    assert result.exit_code == 0, result.output
    assert "function FindProxyForURL(" in result.output
    return {name for name in ("all", "net", "group") if f"{name}.example" in result.output}


def test_it_depends_on_the_requester() -> None:
    assert listed() == {"all"}
    assert listed("--source", "10.1.2.3") == {"all", "net"}
    assert listed("--source", "10.2.2.3") == {"all", "group"}
    assert listed("--source", "2001:db8::1") == {"all"}
    assert listed("--group", "sales") == {"all", "group"}


def test_it_goes_by_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "steering.toml").write_text(
        "[policy]\ninternal_zones = ['corp.test-zone.example']\n"
        "[inspector]\nadvertise = ['p1.example:1', 'p2.example:2']\n"
    )
    text = run("pac").output
    for chain in plan_chains(pac_settings(configuration(None)).inspectors).chains:
        assert chain in text
    assert "corp.test-zone.example" in text
    assert "PROXY only.example:9" in run("pac", "--inspector", "only.example:9").output
    assert "p1.example:1" not in run("pac", "--inspector", "only.example:9").output


def test_rules_named(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    assert "zoom.us" in run("pac", "--rules", a_copy(folder)).output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--source", "10.1.0.0/16"], 2, "--source '10.1.0.0/16' is no IP address"),
        (["--source", "10.1.1.1", "--group", "sales"], 2, "--source or --group, not both"),
        (["--group", "nobody"], 2, "there is no group 'nobody' in the rules (sales)"),
        (["--inspector", "nonsense"], 2, "'nonsense' is no inspector address"),
        (["--config", "missing.toml"], 2, "missing.toml cannot be read"),
        (["--rules", "missing.json"], 2, "missing.json: No such file"),
    ],
)
def test_what_is_wrong(arguments: list[str], code: int, says: str) -> None:
    result = run("pac", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(says)
    assert len(result.stderr.splitlines()) == 1
