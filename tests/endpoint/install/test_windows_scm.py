"""The answers to the service control manager, with a constructed manager: this was not run on Windows."""

import subprocess
import threading
from collections.abc import Callable

from steering.endpoint.install.windows_scm import (
    CONTROL_SHUTDOWN,
    CONTROL_STOP,
    RUNNING,
    START_PENDING,
    STOP_PENDING,
    STOPPED,
    serve,
)


class FakeManager:
    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []
        self.running = threading.Event()
        self.told: Callable[[int], None] = lambda _: None

    def dispatch(self, main: Callable[[], None]) -> None:
        main()

    def on_control(self, told: Callable[[int], None]) -> None:
        self.told = told

    def report(self, state: int, code: int = 0) -> None:
        self.reports.append((state, code))
        if state == RUNNING:
            self.running.set()


class FakeChild:
    """code: it ends by itself with it.  deaf: it ends only when killed."""

    def __init__(self, code: int | None = None, *, deaf: bool = False) -> None:
        self._code, self._deaf = code, deaf
        self._over = threading.Event()
        self.signals = 0
        if code is not None:
            self._over.set()

    def wait(self, timeout: float | None = None) -> int:
        if not self._over.wait(0 if self._deaf and timeout is not None else timeout):
            raise subprocess.TimeoutExpired("helper", timeout or 0)
        return self._code or 0

    def send_signal(self, sig: int, /) -> None:
        self.signals += 1
        if not self._deaf:
            self._over.set()

    def kill(self) -> None:
        self._code = 9
        self._over.set()


def stopped_by(control: int, child: FakeChild) -> list[tuple[int, int]]:
    manager = FakeManager()

    def stop() -> None:
        manager.running.wait()
        manager.told(4)  # SERVICE_CONTROL_INTERROGATE changes nothing
        manager.told(control)

    stopper = threading.Thread(target=stop)
    stopper.start()
    serve(manager, lambda: child)
    stopper.join()
    return manager.reports


def test_stop_and_shutdown() -> None:
    for control in (CONTROL_STOP, CONTROL_SHUTDOWN):
        child = FakeChild()
        assert stopped_by(control, child) == [(START_PENDING, 0), (RUNNING, 0), (STOP_PENDING, 0), (STOPPED, 0)]
        assert child.signals == 1


def test_a_helper_that_does_not_listen_is_killed() -> None:
    assert stopped_by(CONTROL_STOP, FakeChild(deaf=True))[-1] == (STOPPED, 0)


def test_a_helper_that_ends_by_itself_is_an_error_whatever_it_says() -> None:
    for code, reported in ((0, 1), (1, 1), (2, 2)):
        manager = FakeManager()
        serve(manager, lambda code=code: FakeChild(code))  # type: ignore[misc]
        assert manager.reports == [(START_PENDING, 0), (RUNNING, 0), (STOPPED, reported)]
