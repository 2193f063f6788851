"""What becomes of the commands that the guides show: walked for real, run alone, or not run here and why.

A guide is the README or a page of ``docs/deploy``.  Its commands stand in ``console`` blocks, each behind ``$ `` with
its further lines behind ``> ``, and what they print below them.  A page of WALKED is followed line by line on a
machine of its own (tests/wire/test_guides.py), and comments, which no reader sees, help along:

    <!-- file: /etc/steering/steering.toml -->   the block below is what the reader puts there
    <!-- walk: kill %1 -->                       what the reader does with the hands, as a command
    <!-- exit: 1 -->                             the commands of the block below find something, and end with that

Of all other pages the commands of ``steering`` are run alone (tools/doc_examples.py).  NOT_HERE says what is left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

WALKED = (
    "docs/deploy/five-minutes.md",
    "docs/deploy/small-office.md",
    "docs/deploy/linux.md",
    "docs/deploy/laptops.md",
    "docs/deploy/troubleshooting.md",
)

# What a fenced block may be -> who holds it to the truth.
LANGUAGES = {
    "console": "each command is walked, run alone, or in NOT_HERE",
    "toml": "tests/test_docs.py reads it as a configuration",
    "json": "tests/test_docs.py reads it, and enforces it where it has rules",
    "ini": "settings of the helper, or a unit: read by nobody here",
    "yaml": "tests of the manifests read the files that they are from",
    "text": "no command: what a program says, or what is typed into a form",
    "powershell": "needs Windows; tests/deploy holds the scripts that 'steering deploy' prints",
}

# How a command begins -> why it is not run here.  The longest beginning that fits counts.
NOT_HERE = {
    "make test": "this is what it runs",
    "chromium": "opens a window; tests/wire/test_browsers.py browses by the same PAC",
    "pipx": "fetches packages; tests/test_packaging.py installs the wheel",
    "git clone": "there is no network",
    "docker": "needs a container engine",
    "keytool -importcert": "writes into the machine's Java; tests/deploy runs the script of ca-java on a copy",
    "podman": "needs a container engine; tests/container/test_guide.py walks the page where it can run",
    "curl http://127.0.0.1:8080/ca.pem -o": "asks a container; tests/container/test_guide.py does",
    "curl -sv -x http://127.0.0.1:3128 --cacert ca.pem": "asks a container; tests/container/test_guide.py does",
    "kubectl": "needs a cluster",
    "helm": "needs a cluster",
    "shred -u token ca.key": "what a cluster gave out",
    "curl http://192.0.2.10/proxy.pac": "the load balancer of a cluster",
    "curl -x http://192.0.2.11": "the load balancer of a cluster",
    "dig @192.0.2.12": "the load balancer of a cluster",
    "systemctl": "needs a running systemd",
    "journalctl": "needs a running systemd",
    "apt": "installs packages",
    # docs/deploy/linux.md: the installation itself
    "python3 -m venv /opt/steering": "writes outside of what a test may; tests/test_packaging.py installs the wheel",
    "/opt/steering/bin/pip": "fetches packages; tests/test_packaging.py installs the wheel",
    "ln -s /opt/steering/bin/steering": "writes outside of what a test may",
    "rm -r /opt/steering": "writes outside of what a test may",
    "steering deploy systemd": "no unit is printed for a program below a home folder; tests/deploy holds the units",
    "cd /root/steering-units": "where the units would be",
    "install -m 644 steering": "the units again",
    "systemd-sysusers": "and their user",
    "chown -R steering": "the user again",
    "runuser -u steering": "the user again",
    "rm /etc/systemd/system/steering": "the units again",
    "userdel steering": "the user again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """shown: what the page says that it prints, "" for nothing said.  hidden: from a ``walk`` comment."""

    text: str
    shown: str = ""
    code: int = 0
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    path: str
    content: str


_ITEM = re.compile(
    r"<!-- walk: (?P<walk>.+?) -->"
    r"|<!-- file: (?P<path>\S+) -->\s*?\n(?P<i>[ ]*)```\w*\n(?P<content>.*?)^(?P=i)```"
    r"|(?:<!-- exit: (?P<code>\d+) -->\n)?^(?P<j>[ ]*)```console\n(?P<block>.*?)^(?P=j)```",
    re.MULTILINE | re.DOTALL,
)


def steps(block: str) -> Iterator[tuple[str, str]]:
    """(command, the output that is shown behind it) of a console block.  Further lines of a command begin with '> '."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        more = re.match(r"(.*\n)((?:> ?.*\n)*)", part)
        assert more, f"no line: {part!r}"
        command = more[1] + re.sub(r"^> ?", "", more[2], flags=re.MULTILINE)
        yield command.removesuffix("\n"), part[more.end() :]


def items(page: str) -> Iterator[Command | File]:
    """Everything of ``page`` that is done, in order."""
    for found in _ITEM.finditer(page):
        if found["walk"]:
            yield Command(text=found["walk"], hidden=True)
        elif found["path"]:
            yield File(path=found["path"], content=dedent(found["content"]))
        else:
            for command, shown in steps(dedent(found["block"])):
                yield Command(text=command, shown=shown, code=int(found["code"] or 0))


def not_here(command: str) -> str | None:
    """Why it is not run, None where nothing says so."""
    begun = (text for text in NOT_HERE if command.startswith(text) and not command[len(text) :][:1].isalnum())
    longest = max(begun, key=len, default=None)
    return None if longest is None else NOT_HERE[longest]
