"""What is asked of libproc and made of its answers, with functions that tests construct."""

import ctypes
import os
from dataclasses import dataclass, field

import pytest

from steering.endpoint.identify.darwin_calls import DarwinCalls, load_darwin, open_changes
from steering.endpoint.identify.darwin_layouts import FUNCTIONS
from steering.endpoint.identify.darwin_system import Change


@dataclass(slots=True)
class Constructed:
    """libproc: each function gives ``answer``, or its length where no room is given; and kqueue."""

    answer: bytes
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def give(self, name: str, arguments: tuple[int, ...], room: ctypes.Array[ctypes.c_char] | None, size: int) -> int:
        self.calls.append((name, *arguments, size))
        if room is None:
            return len(self.answer)
        ctypes.memmove(room, self.answer, min(size, len(self.answer)))
        return min(size, len(self.answer))

    def proc_listpids(self, kind: int, of: int, room: ctypes.Array[ctypes.c_char] | None, size: int) -> int:
        return self.give("listpids", (kind, of), room, size)

    def proc_pidinfo(self, pid: int, kind: int, arg: int, room: ctypes.Array[ctypes.c_char] | None, size: int) -> int:
        return self.give("pidinfo", (pid, kind, arg), room, size)

    def proc_pidfdinfo(self, pid: int, fd: int, kind: int, room: ctypes.Array[ctypes.c_char], size: int) -> int:
        return self.give("pidfdinfo", (pid, fd, kind), room, size)

    def proc_pidpath(self, pid: int, room: ctypes.Array[ctypes.c_char], size: int) -> int:
        return self.give("pidpath", (pid,), room, size)

    def watch(self, pid: int) -> bool:
        return pid == 7

    def take(self) -> list[Change]:
        return [Change(7, ended=True)]

    def close(self) -> None:
        self.calls.append(("close",))


def calls(library: Constructed) -> DarwinCalls:
    return DarwinCalls({name: getattr(library, name) for name in FUNCTIONS}, library)


def test_lists_are_asked_for_with_room_to_spare() -> None:
    library = Constructed(b"\x07\0\0\0")
    system = calls(library)
    assert system.pids() == system.pids(5) == system.descriptors(7) == b"\x07\0\0\0"
    assert library.calls == [
        ("listpids", 1, 0, 0),
        ("listpids", 1, 0, 4 + 4 * 64),
        ("listpids", 6, 5, 0),
        ("listpids", 6, 5, 4 + 4 * 64),
        ("pidinfo", 7, 1, 0, 0),
        ("pidinfo", 7, 1, 0, 4 + 8 * 64),
    ]


def test_records_are_asked_for_by_their_size() -> None:
    library = Constructed(b"r" * 1000)
    system = calls(library)
    assert (system.socket(7, 3), system.process(7)) == (b"r" * 792, b"r" * 136)
    assert library.calls == [("pidfdinfo", 7, 3, 3, 792), ("pidinfo", 7, 3, 0, 136)]


def test_a_path_is_text() -> None:
    library = Constructed("/Applications/Čtečka.app/x".encode())
    assert calls(library).path(7) == "/Applications/Čtečka.app/x"
    assert library.calls == [("pidpath", 7, 4096)]


def test_no_answer_is_nothing() -> None:
    system = calls(Constructed(b""))
    assert (system.pids(), system.descriptors(7), system.socket(7, 1), system.process(7), system.path(7)) == (
        b"",
        b"",
        b"",
        b"",
        "",
    )


def test_changes_are_the_kernels() -> None:
    library = Constructed(b"")
    system = calls(library)
    assert system.watch(7) and not system.watch(8) and system.changes() == [Change(7, ended=True)]
    system.close()
    assert library.calls == [("close",)]


def test_accounts_are_the_systems() -> None:
    system = calls(Constructed(b""))
    assert system.account(0) == "root"
    assert system.account(2**31 - 5) is None


def test_what_cannot_be_asked_has_no_signer() -> None:
    assert calls(Constructed(b"")).signer(os.getpid()) is None


@pytest.mark.needs("linux")
def test_here_is_no_macos() -> None:
    for opening in (open_changes, load_darwin):
        with pytest.raises(OSError, match="no kqueue"):
            opening()
