"""The helper's own connections, marked."""

import socket
import subprocess
import sys

import pytest

from steering.endpoint.capture.rules import OWN_MARK
from steering.endpoint.marking import allowed, create_connection, mark
from tests.kit import ROOT

SO_MARK = 36


def test_without_a_mark_nothing_is_asked_of_the_system() -> None:
    with socket.socket() as sock:
        mark(sock, 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = create_connection("localhost", listener.getsockname()[1], 5, 0)  # ::1 may come first, where nobody is
        with sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.gettimeout() == 5


@pytest.mark.needs("linux", "root")
def test_a_mark_is_set_before_the_connection_is_made() -> None:
    assert allowed(OWN_MARK) == OWN_MARK
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        create_connection("127.0.0.1", listener.getsockname()[1], 5, OWN_MARK) as sock,
    ):
        assert sock.getsockopt(socket.SOL_SOCKET, SO_MARK) == OWN_MARK


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        create_connection("127.0.0.1", port, 5, 0)


@pytest.mark.needs("linux", "root")
def test_who_may_not_mark_has_no_mark() -> None:
    code = "import os; from steering.endpoint.marking import allowed; os.setuid(4242); print(allowed(7))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "0\n"
