"""Raw tables of this system, for tests: what a ladder or a writer would read here, as the system itself has it.

Tests keep what was recorded on a real machine apart from what was constructed.  Nothing is sent anywhere.  Addresses
of connections and names of programs are in it, as the file beside them says.
"""

import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import Argv
from steering.endpoint.install.carry import Run, run_program

FILES: dict[str, tuple[str, ...]] = {
    "linux": (
        *("/proc/net/tcp", "/proc/net/tcp6", "/proc/self/status", "/proc/self/cgroup", "/proc/self/mountinfo"),
        *("/proc/version", "/etc/os-release"),
    ),
}
PROGRAMS: dict[str, tuple[Argv, ...]] = {
    "linux": (("nft", "-s", "list", "tables"), ("gsettings", "list-recursively", "org.gnome.system.proxy")),
    "darwin": (
        ("sw_vers",),
        ("netstat", "-anv", "-p", "tcp"),
        ("networksetup", "-listallnetworkservices"),
        ("scutil", "--proxy"),
    ),
    "win32": (
        ("cmd.exe", "/c", "ver"),
        ("netstat.exe", "-ano", "-p", "TCP"),
        ("netsh.exe", "winhttp", "show", "advproxy"),
        ("reg.exe", "query", r"HKCU\Software\Microsoft\Windows\CurrentVersion\Internet Settings"),
    ),
}
NOTICE = (
    "Recorded by 'steering endpoint doctor --record' on {system}.\n"
    "It holds addresses and ports of connections, process ids, and names of programs and networks: look before you\n"
    "send it.\n"
)


def record(
    folder: Path,
    tables: Mapping[str, Callable[[], bytes]] | None = None,
    *,
    run: Run = run_program,
    system: str = sys.platform,
) -> list[Path]:
    """Write what there is into ``folder``, which must be empty or not be; what could not be read is told in its place.

    tables: further ones by file name, as an identifier reads them.  Raises EndpointError, or OSError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise EndpointError(f"{folder} is not empty: name a new folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {"README.txt": NOTICE.format(system=platform.platform()).encode()}
    contents |= {name.strip("/").replace("/", "-"): _read(Path(name)) for name in FILES.get(system, ())}
    contents |= {f"{'-'.join(argv[:1])}-{i}.txt": _output(run, argv) for i, argv in enumerate(PROGRAMS.get(system, ()))}
    contents |= {name: _guarded(table) for name, table in (tables or {}).items()}
    for name, content in contents.items():
        with (folder / name).open("xb") as file:  # nothing that somebody has put there meanwhile is followed
            file.write(content)
    return [folder / name for name in contents]


def _read(path: Path) -> bytes:
    return _guarded(path.read_bytes)


def _output(run: Run, argv: Argv) -> bytes:
    ended = run(argv)
    return f"$ {' '.join(argv)}\n{ended.out}{ended.err}[{ended.code}]\n".encode()


def _guarded(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (OSError, EndpointError) as exc:
        return f"could not be read: {exc}\n".encode()
