"""Who signed what a macOS process runs: codesign(1), asked about the running process.

The team's identifier in a signature is text until the chain behind it is checked, so it is asked for first and then
required.  Not yet run on a real machine.
"""

import re
import subprocess

CODESIGN = "/usr/bin/codesign"
APPLE = "Apple"
_WITHIN_S = 10
_TEAM = re.compile(r"^TeamIdentifier=([A-Z0-9]{10})$", re.MULTILINE)
_UNSIGNED = "code object is not signed at all"


def read_team(displayed: str) -> str:
    """The team in what ``codesign --display --verbose=2`` says; "" where there is none."""
    found = _TEAM.search(displayed)
    return found[1] if found else ""


def requirement(team: str) -> str:
    """What a signature has to meet: of that team and issued below Apple's root, or Apple's own."""
    if not team:
        return "anchor apple"
    return f'anchor apple generic and certificate leaf[subject.OU] = "{team}"'


def signer_of(pid: int) -> str | None:
    """The team, ``APPLE`` for parts of macOS, "" where the signature does not prove either; None where it cannot be
    asked."""
    displayed = _codesign("--display", "--verbose=2", f"+{pid}")
    if displayed is None:
        return None
    done, text = displayed
    if done:
        return "" if _UNSIGNED in text else None
    team = read_team(text)
    verified = _codesign("--verify", "-R", f"={requirement(team)}", f"+{pid}")
    if verified is None:
        return None
    return (team or APPLE) if verified[0] == 0 else ""


def _codesign(*arguments: str) -> tuple[int, str] | None:
    """Exit code and what it says on standard error."""
    try:
        done = subprocess.run(  # noqa: S603  # a fixed program; the arguments are ours
            (CODESIGN, *arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.returncode, done.stderr.decode("utf-8", "replace")
