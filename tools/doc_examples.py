"""The commands in the documentation's ``console`` blocks, run: ``make docs`` writes their output anew, a test compares.

The commands of a page run one after the other in a folder with the starter rules; those of tools/doc_walks.py WALKED
have a machine of their own instead.  In what is shown, ``...`` alone on
a line stands for any lines, and within a line for anything; a command without output is only run.  ``cat FILE`` makes
the file that it shows.
"""

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

from typer.testing import CliRunner

from steering.cli.commands import app
from steering.resources import starter_rules
from tools.doc_tables import ROOT, pages
from tools.doc_walks import WALKED, steps

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# What asks a running service, or is one.
OF_A_SERVICE = (
    "steering serve", "steering status", "steering reload", "steering pac token", "steering ca", "steering doctor",
    "steering endpoint",
)  # fmt: skip


def provide(command: str, shown: str) -> None:
    """Make the file that ``cat FILE`` shows, so that the commands behind it find it."""
    name = re.fullmatch(r"cat ([\w-]+(?:\.[\w-]+)*)", command)
    if name and shown:
        Path(name[1]).write_text(shown, "utf-8")


def can_run(command: str) -> bool:
    return (
        command.startswith("steering ")
        and not command.startswith(OF_A_SERVICE)
        and "--live" not in command
        and not set("|<>&;") & set(command)  # for a shell
    )


def run(command: str) -> str:
    """What the command prints, both streams.  Raises whatever it raises but its exit."""
    result = CliRunner().invoke(app, shlex.split(command.replace("\\\n", ""))[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def fits(shown: str, output: str) -> bool:
    parts = (
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown.splitlines()
    )
    return not shown or re.fullmatch("".join(parts), output) is not None


def rewritten(page: str) -> str:
    """``page`` with the output of every command that prints something else now, but for revisions, which change."""

    def block(match: re.Match[str]) -> str:
        if match[2] != "console":
            return match[0]
        told = "".join(f"$ {_typed(command)}\n{_now(command, shown)}" for command, shown in steps(dedent(match[3])))
        return f"{match[1]}```console\n{indent(told, match[1])}{match[1]}```"

    with _starter_folder():
        return FENCE.sub(block, page)


def _typed(command: str) -> str:
    return command.replace("\n", "\n> ")


def _now(command: str, shown: str) -> str:
    provide(command, shown)
    if not can_run(command):
        return shown
    output = run(command)
    if fits(shown, output):
        return shown
    if "..." in shown.splitlines()[:-1]:
        print(f"shorten by hand what '{command}' prints now:\n{output}", file=sys.stderr)
        return shown
    return re.sub(r"^revision .*", "revision ...", output, flags=re.MULTILINE)


@contextlib.contextmanager
def _starter_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.json").write_bytes(starter_rules().read_bytes())
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def main() -> None:
    for page in pages():
        if str(page.relative_to(ROOT)) in WALKED:
            continue  # what its commands print is what the steps before them have made of a machine
        text = page.read_text("utf-8")
        fresh = rewritten(text)
        if fresh != text:
            page.write_text(fresh, "utf-8")
            print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
