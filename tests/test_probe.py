"""The health check: content while a policy is enforced, and cheap."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import ROOT
from tests.service import LiveService, environment, service_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    running = service_in(tmp_path_factory.mktemp("s"))
    yield running.start()
    running.stop()


def probed(state: Path) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-P", "-m", "steering.probe"]
    return subprocess.run(
        line, env=environment(STEERING_STATE_DIR=str(state)), capture_output=True, text=True, timeout=60
    )


def test_a_service_that_runs(service: LiveService) -> None:
    done = probed(service.state)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    service.write_rules(b"{")
    service.reload()
    assert probed(service.state).returncode == 0, "degraded is healthy"


def test_nobody(tmp_path: Path) -> None:
    done = probed(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path}/steering.sock: ")


@pytest.mark.parametrize("told", [b'{"is_ready": false}', b"{}", b"[]", b'{"is_ready": 1}', b"", b"\xff"])
def test_what_is_no_readiness(tmp_path: Path, told: bytes) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + told)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "steering.sock"))
        server.listen()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        assert probed(tmp_path).returncode == 1
        thread.join()


def test_it_imports_nothing_of_ours_or_of_others() -> None:
    shown = "import sys, steering.probe; print([m for m in sys.modules if m in ('asyncio', 'aiohttp', 'typer', 'ssl')])"
    line = [sys.executable, "-c", shown]
    done = subprocess.run(line, env=environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
