"""What /proc is read to say, of real processes and of texts as the kernel writes them."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.endpoint.identify.linux_procfs import (
    Executable,
    Held,
    Process,
    cgroup_folders,
    cgroup_members,
    newest_first,
    open_process,
    pids,
    read_executable,
    read_fdinfo,
    read_small,
    relatives,
)
from tests.endpoint.identify.programs import Programs, descriptors, go_on, said
from tests.kit import wait_until

pytestmark = pytest.mark.needs("linux")
WAIT = "say('here'); wait()"


@pytest.mark.parametrize(
    ("link", "gone", "expected"),
    [
        ("/opt/slack/slack", False, Executable("/opt/slack/slack", "slack")),
        ("/opt/slack/slack (deleted)", True, Executable("/opt/slack/slack", "slack", True)),
        ("/opt/slack/slack (deleted)", False, Executable("/opt/slack/slack (deleted)", "slack (deleted)")),
        ("/x/slack (deleted) (deleted)", True, Executable("/x/slack (deleted)", "slack (deleted)", True)),
        ("/memfd:slack (deleted)", True, Executable("/memfd:slack", "", True)),
        ("/memfd:slack", False, Executable("/memfd:slack", "memfd:slack")),  # a file of root's with an odd name
        ("slack", False, Executable("slack", "")),
        ("", False, Executable("", "")),
        (os.fsdecode(b"/x/sl\xffck"), False, Executable("/x/sl\\xffck", "sl\\xffck")),
        ("/x/größe", False, Executable("/x/größe", "größe")),
        ("/x/a\nb", False, Executable("/x/a\nb", "a\nb")),
    ],
)
def test_read_executable(link: str, gone: bool, expected: Executable) -> None:
    assert read_executable(link, gone) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t77\n", Held("5", True)),
        (b"pos:\t0\nflags:\t02\nmnt_id:\t10\nino:\t77\n", Held("5", False)),
        (b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\nino:\t78\n", None),  # closed and opened anew since
        (b"pos:\t0\nflags:\t02000002\nmnt_id:\t10\n", Held("5", True)),  # before Linux 5.14
        (b"", Held("5", False)),
    ],
)
def test_read_fdinfo(told: bytes, expected: Held | None) -> None:
    assert read_fdinfo(told, "5", 77) == expected


# Executables


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process(os.getpid())
    yield process
    process.close()


def executable_of(pid: int) -> Executable | None:
    process = open_process(pid)
    assert process is not None
    try:
        return process.executable()
    finally:
        process.close()


def test_a_program_has_the_name_of_its_file(programs: Programs) -> None:
    with programs.running("slack", WAIT) as running:
        said(running)
        assert executable_of(running.pid) == Executable(str(programs.path("slack")), "slack")


@pytest.mark.parametrize(
    ("disguise", "code"),
    [
        ("argv", ""),
        ("comm", "import ctypes; ctypes.CDLL(None).prctl(15, b'slack')"),
    ],
)
def test_what_a_program_calls_itself_counts_for_nothing(programs: Programs, disguise: str, code: str) -> None:
    path = programs.path("lat")
    before = ["bash", "-c", 'exec -a slack "$0" "$@"'] if disguise == "argv" else []
    with programs.running(path, f"{code}\n{WAIT}", before=before) as running:
        said(running)
        shown = Path(f"/proc/{running.pid}/{'cmdline' if disguise == 'argv' else 'comm'}").read_bytes()
        assert shown.startswith(b"slack")
        assert executable_of(running.pid) == Executable(str(path), "lat")


def test_renamed_deleted_and_replaced_programs(programs: Programs, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.hardlink_to(programs.path("slack"))
    with programs.running(old, WAIT) as running:
        said(running)
        old.rename(new)
        assert executable_of(running.pid) == Executable(str(new), "new")
        new.unlink()  # a hard link remains, so the kernel's mark is not taken for one: stricter
        assert executable_of(running.pid) == Executable(f"{new} (deleted)", "new (deleted)")


def test_a_program_replaced_by_its_update_keeps_its_name(programs: Programs, tmp_path: Path) -> None:
    path, update = tmp_path / "zoom", tmp_path / "zoom.new"
    path.write_bytes(programs.path("slack").read_bytes())
    path.chmod(0o755)
    update.write_bytes(b"new")
    with programs.running(path, WAIT) as running:
        said(running)
        update.rename(path)
        assert executable_of(running.pid) == Executable(str(path), "zoom", True)
        path.unlink()
        assert executable_of(running.pid) == Executable(str(path), "zoom", True)


def test_a_file_whose_name_ends_like_the_kernels_mark(programs: Programs, tmp_path: Path) -> None:
    path = tmp_path / "slack (deleted)"
    path.write_bytes(programs.path("slack").read_bytes())
    path.chmod(0o755)
    with programs.running(path, WAIT) as running:
        said(running)
        assert executable_of(running.pid) == Executable(str(path), "slack (deleted)")


def test_a_program_in_memory_has_no_name(programs: Programs) -> None:
    code = f"""
fd = os.memfd_create("slack")
os.write(fd, open({str(programs.path("slack"))!r}, "rb").read())
os.execve(fd, ["slack", "-P", "-S", "-c", "print('here', flush=True); input()"], os.environ)
"""
    with programs.running("lat", code) as running:
        assert said(running) == "here"
        assert executable_of(running.pid) == Executable("/memfd:slack", "", True)


def test_a_script_is_its_interpreter(programs: Programs, tmp_path: Path) -> None:
    script = tmp_path / "slack"
    script.write_text(f"#!{programs.path('lat')} -PSu\nprint('here'); input()\n")
    script.chmod(0o755)
    running = subprocess.Popen(
        [script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=programs.environment
    )
    with running:
        assert said(running) == "here"
        assert executable_of(running.pid) == Executable(str(programs.path("lat")), "lat")
        running.kill()


def test_a_process_that_has_ended_tells_nothing_more(programs: Programs) -> None:
    with programs.running("slack", "sock = socket.socket(); say(os.fstat(sock.fileno()).st_ino); wait()") as running:
        inode = int(said(running))
        process = Process(running.pid)
        assert process.holds(inode) is not None
        go_on(running)
        running.wait()
        assert (process.executable(), process.holds(inode)) == (None, None)
        assert (process.is_starting(), process.is_in_exec()) == (True, None)
        with pytest.raises(OSError):
            process.file()
        process.close()
        assert open_process(running.pid) is None


def test_a_zombie_tells_nothing(programs: Programs) -> None:
    code = "pid = os.fork()\nif pid == 0: os._exit(0)\nsay(pid); wait()"
    with programs.running("slack", code) as running:
        pid = int(said(running))
        wait_until(lambda: ") Z" in Path(f"/proc/{pid}/stat").read_text())
        process = Process(pid)
        assert (process.executable(), process.is_starting()) == (None, True)
        process.close()


# Execs


def test_a_process_at_rest_is_in_no_exec(programs: Programs, process: Process) -> None:
    assert not process.is_starting()
    with programs.running("slack", WAIT) as running:
        said(running)
        waiting = Process(running.pid)
        wait_until(lambda: waiting.is_in_exec() is False)
        assert not waiting.is_starting()
        waiting.close()
    with programs.running("slack", "say('here')\nwhile True: pass") as running:
        said(running)
        busy = Process(running.pid)
        wait_until(lambda: busy.is_in_exec() is None)
        assert not busy.is_starting()
        busy.close()


# Descriptors


def test_holds(process: Process) -> None:
    with socket.socket() as closing, socket.socket() as open_:
        open_.set_inheritable(True)
        closing_inode, open_inode = (os.fstat(s.fileno()).st_ino for s in (closing, open_))
        assert process.holds(closing_inode) == Held(str(closing.fileno()), True)
        assert process.holds(open_inode) == Held(str(open_.fileno()), False)
        assert process.holds_at(str(open_.fileno()), open_inode) == Held(str(open_.fileno()), False)
        assert process.holds_at(str(open_.fileno()), closing_inode) is None
    assert process.holds(closing_inode) is None
    assert process.holds_at("99999", open_inode) is None


def test_a_large_table_is_looked_through_where_there_is_time_alone(programs: Programs) -> None:
    code = "kept = [os.dup(0) for _ in range(40)]; s = socket.socket(); say(os.fstat(s.fileno()).st_ino); wait()"
    with programs.running("slack", code) as running:
        inode = int(said(running))
        number = descriptors(running.pid)
        for most, found in ((number - 1, False), (number, True), (number + 1, True), (None, True)):
            process = Process(running.pid)
            assert (process.holds(inode, most) is not None) is found
            process.close()


def test_where_it_was_found_last_is_tried_first(process: Process) -> None:
    with socket.socket() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        assert process.holds(inode, 0) is None
        assert process.holds(inode) is not None
        assert process.holds(inode, 0) is not None


# Relatives and groups


def test_relatives(programs: Programs) -> None:
    code = """
pid = os.fork()
if pid == 0:
    wait(); os._exit(0)
say(pid); wait()
"""
    with programs.running("slack", code) as running:
        child = int(said(running))
        assert sorted(relatives(running.pid)) == sorted([os.getpid(), child])
        assert list(relatives(child)) == [running.pid]
        assert {running.pid, child, os.getpid()} <= set(pids())


@pytest.mark.parametrize(
    ("numbers", "last", "expected"),
    [
        ([1, 50, 300, 40], 300, [300, 50, 40, 1]),
        ([1, 50, 300, 40], 299, [50, 40, 1, 300]),  # the highest is from before the numbers began anew
        ([1, 50, 300, 40], 50, [50, 40, 1, 300]),
        ([1, 50, 300, 40], 49, [40, 1, 300, 50]),
        ([1, 50, 300, 40], 0, [300, 50, 40, 1]),
        ([], 7, []),
    ],
)
def test_newest_first(numbers: list[int], last: int, expected: list[int]) -> None:
    assert newest_first(numbers, last) == expected


def test_what_was_started_last_comes_first(programs: Programs) -> None:
    with programs.running("slack", WAIT) as one, programs.running("slack", WAIT) as two:
        order = pids()
        assert order.index(two.pid) < order.index(one.pid) < order.index(os.getpid())


def test_children_of_a_thread_are_relatives_too() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(subprocess.Popen(["sleep", "60"])))
    thread.start()
    thread.join()
    with started[0] as child:
        assert child.pid in set(relatives(os.getpid()))
        child.kill()


def test_relatives_of_nobody() -> None:
    assert list(relatives(2**22 + 1)) == []


def test_control_groups_are_found_by_the_numbers_of_their_folders(tmp_path: Path) -> None:
    (tmp_path / "user" / "app").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "user")
    (tmp_path / "user" / "app" / "cgroup.procs").write_text("7\n300\n12\n")
    (tmp_path / "user" / "cgroup.procs").write_text("what\n")
    folders = [tmp_path, tmp_path / "user", tmp_path / "user" / "app"]
    assert dict(cgroup_folders(str(tmp_path))) == {folder.stat().st_ino: str(folder) for folder in folders}
    assert [cgroup_members(str(folder)) for folder in folders] == [[], [], [300, 12, 7]]


# Small files


def test_read_small(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("größe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "fifo")  # nobody writes: it must not be waited for
    assert read_small(str(tmp_path / "text"), 100) == "größe"
    assert read_small(str(tmp_path / "text"), 2) == "gr"
    for name in ("bytes", "fifo", ".", "nothing"):
        assert read_small(str(tmp_path / name), 100) == ""
