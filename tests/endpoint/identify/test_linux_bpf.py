"""Who connected, as the kernel told at connect(2)."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steering.endpoint.identify.linux_bpf import (
    Connected,
    SocketMap,
    cgroup_root,
    connect_program,
    is_first_pid_namespace,
    open_map,
)
from tests.endpoint.identify.programs import Listener, Programs, descriptors, go_on, said
from tests.kit import ROOT

NEEDED = pytest.mark.needs("socket-map")
SO_COOKIE = 57


@pytest.fixture
def socket_map() -> Iterator[SocketMap]:
    found, why = open_map()
    assert found is not None, why
    yield found
    found.close()


def cookie_of(sock: socket.socket) -> int:
    return int(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0])


@NEEDED
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
def test_who_connects_is_written_down(socket_map: SocketMap, listener: Listener, address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        assert socket_map.find(cookie_of(client)) is None
        before = time.monotonic_ns()
        client.connect((address, listener.port))
        after = time.monotonic_ns()
        found = socket_map.find(cookie_of(client))
        assert found is not None
        assert found.pid == os.getpid()
        assert before <= found.at_ns <= after


@NEEDED
def test_of_a_thread_it_is_the_process_that_counts(socket_map: SocketMap, listener: Listener) -> None:
    import threading

    with socket.socket() as client:
        thread = threading.Thread(target=client.connect, args=(("127.0.0.1", listener.port),))
        thread.start()
        thread.join()
        found = socket_map.find(cookie_of(client))
        assert found is not None
        assert found.pid == os.getpid()


@NEEDED
def test_of_a_socket_opened_before_a_fork_it_is_who_connects_it(
    socket_map: SocketMap, listener: Listener, programs: Programs
) -> None:
    code = """
s = socket.socket()
say(int.from_bytes(s.getsockopt(1, 57, 8), sys.byteorder))
pid = os.fork()
if pid == 0:
    s.connect(("127.0.0.1", int(sys.argv[1]))); say(os.getpid()); wait(); os._exit(0)
os.waitpid(pid, 0)
"""
    with programs.running("slack", code, listener.port) as process:
        cookie, child = int(said(process)), int(said(process))
        found = socket_map.find(cookie)
        assert found is not None
        assert found.pid == child != process.pid
        go_on(process)


@NEEDED
def test_datagrams_do_not_fill_it(socket_map: SocketMap) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 9))
        assert socket_map.find(cookie_of(client)) is None


@NEEDED
def test_of_two_with_the_same_slot_the_newer_has_it(listener: Listener) -> None:
    root = cgroup_root(Path("/proc/self/mounts").read_text())
    assert root is not None
    socket_map = SocketMap(root, entries=2)
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        clients = sorted((first, second, third), key=cookie_of)
        pair = [client for client in clients if cookie_of(client) % 2 == cookie_of(clients[0]) % 2]
        if len(pair) < 2:
            pair = clients[1:]  # then these two are odd, or even
        for client in pair[:2]:
            client.connect(("127.0.0.1", listener.port))
        assert [socket_map.find(cookie_of(client)) is not None for client in pair[:2]] == [False, True]
    socket_map.close()


@NEEDED
def test_it_is_taken_away_when_closed(listener: Listener) -> None:
    before = descriptors()
    socket_map, _ = open_map()
    assert socket_map is not None
    socket_map.close()
    socket_map.close()
    assert descriptors() == before
    with socket.socket() as client:
        client.connect(("127.0.0.1", listener.port))
        assert socket_map.find(cookie_of(client)) is None


@NEEDED
def test_two_helpers_do_not_disturb_each_other(socket_map: SocketMap, listener: Listener) -> None:
    other, _ = open_map()
    assert other is not None
    with socket.socket() as client:
        client.connect(("127.0.0.1", listener.port))
        assert socket_map.find(cookie_of(client)) is not None
        assert other.find(cookie_of(client)) is not None
        other.close()
        assert socket_map.find(cookie_of(client)) is not None


@NEEDED
def test_only_a_control_group_can_be_hooked(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(OSError):
        SocketMap(tmp_path)
    assert descriptors() == before


@pytest.mark.needs("root")
def test_without_the_capability_there_is_none_and_it_says_so() -> None:
    code = (
        "import os, sys; sys.path.insert(0, '.'); from steering.endpoint.identify.linux_bpf import open_map;"
        "os.setuid(4242); print(open_map())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith("(None, '")


@pytest.mark.needs("unshare")
def test_in_a_container_there_is_none_because_its_numbers_would_be_others() -> None:
    code = "from steering.endpoint.identify.linux_bpf import open_map; print(open_map())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "(None, 'the socket map tells process numbers of the host, and this is a container')\n"


@NEEDED
def test_this_is_no_container() -> None:
    assert is_first_pid_namespace()


MOUNTS = "proc /proc proc rw 0 0\ntmpfs /sys/fs/cgroup tmpfs ro 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (MOUNTS + "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", Path("/sys/fs/cgroup")),
        (MOUNTS + "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nnone /x/unified cgroup2 rw 0 0\n", Path("/x/unified")),
        (MOUNTS + "none /a\\040b cgroup2 rw 0 0\n", Path("/a b")),
        (MOUNTS, None),
        ("", None),
        ("cgroup2\n\n", None),
    ],
)
def test_cgroup_root(mounts: str, expected: Path | None) -> None:
    assert cgroup_root(mounts) == expected


def test_the_program_word_by_word() -> None:
    """As ``bpftool prog dump xlated`` shows it, but for the map's address."""
    words = [struct.unpack_from("=BBhi", connect_program(5), at) for at in range(0, len(connect_program(5)), 8)]
    assert words == [
        (0x61, 0x10, 36, 0),  # r0 = protocol
        (0x15, 0x00, 20, 17),  # if r0 == UDP goto the end
        (0x85, 0x00, 0, 46),  # r0 = get_socket_cookie(r1)
        (0xBF, 0x06, 0, 0),  # r6 = r0
        (0x57, 0x00, 0, 32767),
        (0x63, 0x0A, -4, 0),  # the slot's number
        (0x67, 0x06, 0, 22),  # of the cookie the low 42 bits
        (0x77, 0x06, 0, 22),
        (0x85, 0x00, 0, 14),  # r0 = get_current_pid_tgid()
        (0x77, 0x00, 0, 32),
        (0x67, 0x00, 0, 42),
        (0x4F, 0x06, 0, 0),  # r6 = process and cookie
        (0x85, 0x00, 0, 5),  # r0 = ktime_get_ns()
        (0xBF, 0x07, 0, 0),
        (0x18, 0x11, 0, 5),  # r1 = the map
        (0x00, 0x00, 0, 0),
        (0xBF, 0xA2, 0, 0),  # r2 = r10 - 4
        (0x07, 0x02, 0, -4),
        (0x85, 0x00, 0, 1),  # r0 = map_lookup_elem
        (0x15, 0x00, 2, 0),  # if there is none goto the end
        (0x7B, 0x70, 0, 0),
        (0x7B, 0x60, 8, 0),  # what makes it valid is stored last
        (0xB7, 0x00, 0, 1),  # the end: let it connect
        (0x95, 0x00, 0, 0),
    ]
    assert Connected(1, 2) == (1, 2)
