"""Sockets that somebody else has bound: taken once, and by nobody whom they were not meant for."""

import os
import socket
import subprocess
import sys

import pytest

from steering.control.activation import bound_to, given_sockets
from steering.control.listening import Role
from tests.activated import launcher
from tests.service import environment

TELLS = """
import os
from steering.control.activation import given_sockets
from steering.control.errors import ControlError
try:
    print([(s.type.name, s.getsockname()[0], os.get_inheritable(s.fileno())) for s in given_sockets()])
except ControlError as exc:
    print(exc)
print([name for name in os.environ if name.startswith("LISTEN_")], given_sockets())
"""


def told(*addresses: str, **extra: str) -> list[str]:
    line = [*launcher(*addresses), sys.executable, "-c", TELLS]
    done = subprocess.run(line, env=environment(**extra), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_was_bound_is_taken_and_passed_on_to_nobody() -> None:
    assert told("tcp:127.0.0.1:0", "udp:127.0.0.1:0", "tcp:[::1]:0") == [
        "[('SOCK_STREAM', '127.0.0.1', False), ('SOCK_DGRAM', '127.0.0.1', False), ('SOCK_STREAM', '::1', False)]",
        "[] []",
    ]


def test_what_no_address_of_ours_can_be() -> None:
    assert told("unix:") == ["systemd passed a socket that is neither TCP nor UDP: ''", "[] []"]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
    ids=str,
)
def test_what_is_meant_for_somebody_else_is_left(variables: dict[str, str]) -> None:
    assert given_sockets(variables) == []
    assert variables == {}


@pytest.mark.parametrize(
    ("role", "host", "off", "expected"),
    [
        (Role.TLS, "127.0.0.1", 0, True),
        (Role.CONTROL, "127.0.0.1", 0, True),
        (Role.DNS_UDP, "127.0.0.1", 0, False),
        (Role.TLS, "127.0.0.2", 0, False),
        (Role.TLS, "127.0.0.1", 1, False),
        (Role.TLS, "::1", 0, False),
    ],
)
def test_whose_a_socket_is(role: Role, host: str, off: int, expected: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert bound_to(sock, role, host, sock.getsockname()[1] + off) is expected
