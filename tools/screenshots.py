"""The documentation's pictures, taken of the running product: ``make screenshots`` prints them anew.

A stranger's machine (tests/wire/stranger.py) follows the five minutes, and a Chromium on it goes by the PAC and the CA
as the guide says.  Terminals become SVGs that follow the reader's mode; pages are taken in both.  It needs what those
tests need: root on Linux, for a network of its own, and Chromium.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kit import missing
from tests.wire.chromium import chromium
from tests.wire.stranger import running_stranger
from tools.doc_tables import ROOT
from tools.terminal_picture import terminal_picture

PICTURES = ROOT / "docs" / "pictures"
NEEDS = ("unshare", "certutil", "chromium")
WIDTH_PX = 720

# File -> the page.
PAGES = {"page": "http://127.0.0.1:8080/", "block": "https://gambling.example.net/"}
# File -> what is typed, and what it shows in words.
TERMINALS = {
    "explain": (
        "steering explain zoom.us",
        "steering explain zoom.us: it is bypassed, by which rule, and at every point",
    ),
    "doctor": ("steering doctor", "steering doctor: a line for each thing it looked at, each of them ok"),
}
BEFORE = (
    "make run",
    "source .venv/bin/activate",
    'steering rules add "Not here" --action block --domain gambling.example.net',
    "steering reload",
    "export FORCE_COLOR=1 TERM=xterm-256color",
)


def take(folder: Path) -> None:
    """Every picture, into ``folder``."""
    with tempfile.TemporaryDirectory(prefix="steering-") as scratch, running_stranger(Path(scratch)) as stranger:
        for command in BEFORE:
            done = stranger.type(command)
            assert done.code == 0, done.output
        for name, (command, title) in TERMINALS.items():
            output = stranger.type(command).output.replace(str(stranger.home), "~/steering")
            (folder / f"{name}.svg").write_text(terminal_picture(f"$ {command}\n{output}", title=title), "utf-8")
        browsing = chromium(
            Path(scratch) / "browser",
            "--proxy-pac-url=http://127.0.0.1:8080/proxy.pac",
            "--hide-scrollbars",
            certificates=(stranger.home / "var/ca/ca.pem",),
        )
        with stranger.space.holding(browsing) as browser:
            for name, url in PAGES.items():
                for dark in (False, True):
                    shot = stranger.space.run(browser.shoot(url, width=WIDTH_PX, dark=dark))
                    file = folder / f"{name}{'-dark' if dark else ''}.png"
                    file.write_bytes(shot)
                    if shutil.which("optipng"):
                        subprocess.run(["optipng", "-quiet", "-strip", "all", str(file)], check=True)  # noqa: S603, S607


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    folder: Path = parser.parse_args().folder
    lacking = missing(NEEDS)
    if lacking:
        sys.exit("not here: " + "; ".join(lacking))
    folder.mkdir(parents=True, exist_ok=True)
    take(folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
