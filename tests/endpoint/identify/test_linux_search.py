"""Finding who holds a socket among all processes."""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from steering.endpoint.identify import linux_procfs
from steering.endpoint.identify.identity import Method
from steering.endpoint.identify.linux_bpf import cgroup_root
from steering.endpoint.identify.linux_diag import Socket
from steering.endpoint.identify.linux_procfs import Held
from steering.endpoint.identify.linux_search import NEAR, Holders, HolderSearch, path_of, relatives_agree
from tests.endpoint.identify.programs import Programs, go_on, said

pytestmark = pytest.mark.needs("linux")
OPENS = "s = socket.socket(); s.set_inheritable({}); say(os.fstat(s.fileno()).st_ino); say(s.fileno())\n"
FORKS = "pid = os.fork()\nsay(pid) if pid else None\nwait()"


def later() -> float:
    return time.monotonic() + 30


def socket_of(inode: int, group: int = 0) -> Socket:
    return Socket(inode, 0, 0, struct.pack("=HHQ", 12, 21, group))


@pytest.fixture
def group() -> Iterator[Path]:
    root = cgroup_root(Path("/proc/self/mounts").read_text())
    assert root is not None
    folder = root / f"steering-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    (root / "cgroup.procs").write_text(str(os.getpid()))
    folder.rmdir()


def test_a_holder_whose_descriptor_closes_is_enough(programs: Programs) -> None:
    with programs.running("slack", OPENS.format(False) + "wait()") as process:
        inode, number = int(said(process)), said(process)
        expected = Holders(method=Method.SCAN, pids=(process.pid,), closing=Held(number, True))
        assert HolderSearch(None).find(socket_of(inode), later()) == expected


def test_without_one_all_holders_are_found(programs: Programs) -> None:
    with programs.running("slack", OPENS.format(True) + FORKS) as process:
        inode, _, child = int(said(process)), said(process), int(said(process))
        found = HolderSearch(None).find(socket_of(inode), later())
        assert found is not None
        assert (found.method, sorted(found.pids), found.closing) == (Method.SCAN, sorted([process.pid, child]), None)
        first = HolderSearch(None).find(socket_of(inode), later(), all_matter=False)
        assert first == Holders(method=Method.SCAN, pids=found.pids[:1])
        go_on(process)


def test_nobody_holds_it() -> None:
    assert HolderSearch(None).find(socket_of(1), later()) == Holders(method=Method.SCAN)


def test_when_the_time_is_up_it_says_so() -> None:
    assert HolderSearch(None).find(socket_of(1), time.monotonic() - 1) is None


@pytest.mark.needs("socket-map")  # and so control groups that may be written
def test_the_control_group_is_searched_first(programs: Programs, group: Path) -> None:
    with programs.running("slack", OPENS.format(False) + "wait()") as process:
        inode, number = int(said(process)), said(process)
        (group / "cgroup.procs").write_text(str(process.pid))
        search = HolderSearch(str(group.parent))
        found = search.find(socket_of(inode, group.stat().st_ino), later())
        assert found == Holders(method=Method.CGROUP, pids=(process.pid,), closing=Held(number, True))
        # A process that has moved away since is found all the same.
        (group.parent / "cgroup.procs").write_text(str(process.pid))
        found = search.find(socket_of(inode, group.stat().st_ino), later())
        assert found == Holders(method=Method.SCAN, pids=(process.pid,), closing=Held(number, True))


@pytest.mark.needs("socket-map")
def test_the_newest_few_of_a_known_group_are_looked_through_inline(programs: Programs, group: Path) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(programs.running("slack", OPENS.format(False) + "wait()")) for _ in range(NEAR + 1)
        ]
        told = [(int(said(process)), said(process)) for process in processes]
        for process in processes:
            (group / "cgroup.procs").write_text(str(process.pid))
        search, number = HolderSearch(str(group.parent)), group.stat().st_ino
        newest = socket_of(told[-1][0], number)
        assert search.near(newest) is None  # the group has not been seen before
        assert search.find(newest, later()) is not None
        found = [search.near(socket_of(inode, number)) for inode, _ in told]
        assert (
            found
            == [
                None,  # one too old
                *(
                    Holders(method=Method.CGROUP, pids=(process.pid,), closing=Held(descriptor, True))
                    for process, (_, descriptor) in zip(processes[1:], told[1:], strict=True)
                ),
            ]
        )


@pytest.mark.needs("socket-map")
@pytest.mark.parametrize("code", [OPENS.format(True), "kept = [os.dup(0) for _ in range(256)]\n" + OPENS.format(False)])
def test_what_proves_nothing_or_takes_long_is_not_for_inline(programs: Programs, group: Path, code: str) -> None:
    with programs.running("slack", code + "wait()") as process:
        inode, _ = int(said(process)), said(process)
        (group / "cgroup.procs").write_text(str(process.pid))
        search, sock = HolderSearch(str(group.parent)), socket_of(inode, group.stat().st_ino)
        found = search.find(sock, later())
        assert found is not None
        assert found.pids == (process.pid,)
        assert search.near(sock) is None


@pytest.mark.parametrize("number", [0, 12345678901])
def test_control_groups_that_are_not_there_are_passed_over(tmp_path: Path, number: int) -> None:
    assert HolderSearch(str(tmp_path)).find(socket_of(1, number), later()) == Holders(method=Method.SCAN)


def test_in_the_group_of_everybody_nobody_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.procs").write_text(str(os.getpid()))
    monkeypatch.setattr(linux_procfs, "pids", list)
    found = HolderSearch(str(tmp_path)).find(socket_of(1, tmp_path.stat().st_ino), later())
    assert found == Holders(method=Method.SCAN)


def test_relatives_of_the_same_program_agree(programs: Programs) -> None:
    with programs.running("slack", OPENS.format(True) + FORKS) as process:
        inode, _, child = int(said(process)), said(process), int(said(process))
        path = str(programs.path("slack"))
        assert relatives_agree(process.pid, inode, path)
        assert relatives_agree(child, inode, path)
        assert not relatives_agree(child, inode, str(programs.path("lat")))
        go_on(process)


@pytest.mark.parametrize(("inheritable", "agree"), [(True, False), (False, True)])
def test_a_child_that_became_another_program(programs: Programs, inheritable: bool, agree: bool) -> None:
    lat = [str(programs.path("lat")), "-P", "-S", "-c", "print('lat', flush=True); input()"]
    code = OPENS.format(inheritable) + f"pid = os.fork()\nif pid == 0: os.execv({lat[0]!r}, {lat!r})\nwait()"
    with programs.running("slack", code) as process:
        inode, _, execed = int(said(process)), said(process), said(process)
        assert execed == "lat"
        assert relatives_agree(process.pid, inode, str(programs.path("slack"))) is agree
        go_on(process)


def test_path_of(programs: Programs) -> None:
    with programs.running("slack", "say('here'); wait()") as process:
        said(process)
        assert path_of(process.pid) == str(programs.path("slack"))
        go_on(process)
        process.wait()
        assert path_of(process.pid) is None
