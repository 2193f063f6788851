"""What is asked of codesign, by a constructed one."""

from pathlib import Path

import pytest

from steering.endpoint.identify import darwin_signer
from steering.endpoint.identify.darwin_signer import read_team, requirement, signer_of

TEAM = "BQR82RBBHL"
DISPLAYED = "Executable=/Applications/Slack.app/Contents/MacOS/Slack\nIdentifier=com.tinyspeck.slackmacgap\n"


@pytest.mark.parametrize(
    ("line", "team"),
    [
        (f"TeamIdentifier={TEAM}", TEAM),
        ("TeamIdentifier=not set", ""),
        (f"XTeamIdentifier={TEAM}", ""),
        (f"TeamIdentifier={TEAM}X", ""),
        (f'TeamIdentifier={TEAM[:9]}"', ""),
        ("", ""),
    ],
)
def test_the_team_is_read(line: str, team: str) -> None:
    assert read_team(f"{DISPLAYED}{line}\nSealed Resources version=2\n") == team


def test_a_team_is_required_below_apples_root() -> None:
    assert requirement("") == "anchor apple"
    assert requirement(TEAM) == f'anchor apple generic and certificate leaf[subject.OU] = "{TEAM}"'


CASES: dict[str, tuple[str, str | None]] = {
    "of a team": (f"--display) echo TeamIdentifier={TEAM} >&2;; --verify) exit 0", TEAM),
    "of a team, not true": (f"--display) echo TeamIdentifier={TEAM} >&2;; --verify) exit 3", ""),
    "Apple's": ("--display) echo TeamIdentifier=not set >&2;; --verify) exit 0", "Apple"),
    "ad hoc": ("--display) echo TeamIdentifier=not set >&2;; --verify) exit 3", ""),
    "not signed": ("--display) echo +7: code object is not signed at all >&2; exit 1", ""),
    "ended": ("--display) echo +7: No such process >&2; exit 1", None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_signer_is_whom_apple_vouches_for(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says, expected = CASES[case]
    constructed = tmp_path / "codesign"
    constructed.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$1" in {says};; esac\n')
    constructed.chmod(0o755)
    monkeypatch.setattr(darwin_signer, "CODESIGN", str(constructed))
    assert signer_of(7) == expected
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "--display --verbose=2 +7"
    required = {TEAM: requirement(TEAM), "Apple": requirement("")}.get(expected or "")
    if required:
        assert asked[1:] == [f"--verify -R ={required} +7"]


def test_without_codesign_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darwin_signer, "CODESIGN", str(tmp_path / "missing"))
    assert signer_of(7) is None
