"""The program that Windows' service control manager starts: it answers the manager, and runs the helper beside itself.

A service has to call ``StartServiceCtrlDispatcherW`` within 30 s (else error 1053), which no ordinary program does.
The helper stays an ordinary one: a child, asked to end by Ctrl+Break.  Not yet run on a real machine.
"""

import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from steering.endpoint.install.service_windows import SERVICE

# winsvc.h
STOPPED, START_PENDING, STOP_PENDING, RUNNING = 1, 2, 3, 4
CONTROL_STOP, CONTROL_SHUTDOWN = 1, 5
ACCEPTS_STOP, ACCEPTS_SHUTDOWN = 1, 4
_OWN_PROCESS = 0x10
_SPECIFIC_ERROR = 1066  # the code that counts is the service's own
END_S = 15.0


class Manager(Protocol):
    """dispatch: calls ``main`` on a thread of the manager's and returns when the service has stopped.

    on_control: registers who is told of controls.  report: the state, and with STOPPED the helper's exit code.
    """

    def dispatch(self, main: Callable[[], None]) -> None: ...
    def on_control(self, told: Callable[[int], None]) -> None: ...
    def report(self, state: int, code: int = 0) -> None: ...


class Child(Protocol):
    """``subprocess.Popen``, as far as it is needed."""

    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


def serve(manager: Manager, start: Callable[[], Child]) -> None:
    """Run the helper as long as the manager wants; when it ends by itself that is reported as an error."""

    def main() -> None:
        wanted, over = threading.Event(), threading.Event()

        def told(control: int) -> None:
            if control in (CONTROL_STOP, CONTROL_SHUTDOWN):
                manager.report(STOP_PENDING)
                wanted.set()
                over.set()

        manager.on_control(told)
        manager.report(START_PENDING)
        child = start()
        manager.report(RUNNING)

        def watch() -> None:
            child.wait()
            over.set()

        threading.Thread(target=watch, daemon=True).start()
        over.wait()
        # Who ends by himself has failed, whatever code he gives.
        code = _end(child) if wanted.is_set() else child.wait() or 1
        manager.report(STOPPED, code)

    manager.dispatch(main)


def _end(child: Child) -> int:
    child.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return 0


class _Status(ctypes.Structure):
    """SERVICE_STATUS."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in ("type", "state", "accepted", "exit_code", "specific_code", "check_point", "wait_hint_ms")
    )


class WindowsManager:
    """The real one.  The callbacks are kept for as long as Windows may call them."""

    def __init__(self) -> None:
        self._api = getattr(ctypes, "WinDLL")("advapi32", use_last_error=True)  # noqa: B009  unknown elsewhere
        self._api.RegisterServiceCtrlHandlerW.restype = ctypes.c_void_p
        self._function = getattr(ctypes, "WINFUNCTYPE")  # noqa: B009
        self._kept: list[object] = []
        self._handle: int | None = None

    def dispatch(self, main: Callable[[], None]) -> None:
        prototype = self._function(None, ctypes.c_uint32, ctypes.c_void_p)

        class Entry(ctypes.Structure):
            """SERVICE_TABLE_ENTRYW."""

            _fields_ = (("name", ctypes.c_wchar_p), ("main", prototype))

        table = (Entry * 2)(Entry(SERVICE, prototype(lambda _count, _words: main())))
        self._kept.append(table)
        if not self._api.StartServiceCtrlDispatcherW(table):
            raise OSError(getattr(ctypes, "get_last_error")(), "only the service control manager can start this")  # noqa: B009

    def on_control(self, told: Callable[[int], None]) -> None:
        function = self._function(None, ctypes.c_uint32)(told)
        self._kept.append(function)
        self._handle = self._api.RegisterServiceCtrlHandlerW(SERVICE, function)

    def report(self, state: int, code: int = 0) -> None:
        status = _Status(
            type=_OWN_PROCESS,
            state=state,
            accepted=ACCEPTS_STOP | ACCEPTS_SHUTDOWN if state == RUNNING else 0,
            exit_code=_SPECIFIC_ERROR if code else 0,
            specific_code=code,
            wait_hint_ms=int(END_S * 1000) if state in (START_PENDING, STOP_PENDING) else 0,
        )
        self._api.SetServiceStatus(ctypes.c_void_p(self._handle), ctypes.byref(status))


def main(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "steering", "endpoint", "run", *arguments]
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # so that Ctrl+Break reaches the helper alone
    serve(WindowsManager(), lambda: subprocess.Popen(command, creationflags=group))  # noqa: S603  ourselves


if __name__ == "__main__":
    main(sys.argv[1:])
