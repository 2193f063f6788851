"""Ports are shared by the workers and with nobody else, at no instant."""

import socket
import subprocess
import sys
from collections import Counter

import pytest

from steering.control.config import Config
from steering.control.errors import ListenError
from steering.control.listening import SETTINGS, Listener, Role, adopt, authority, free_port_pair, listen
from tests.service import environment

STREAM = Role.EXPLICIT


def free(listener: Listener) -> None:
    listener.close()
    assert all(sock.fileno() < 0 for sock in listener.sockets)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("role", [STREAM, Role.DNS_UDP])
def test_every_worker_has_a_socket_on_one_port(role: Role, host: str) -> None:
    listener = listen(role, host, 0, 3)
    assert {sock.getsockname()[1] for sock in listener.sockets} == {listener.port} and listener.port
    assert len(listener.sockets) == 3 and listener.address == authority(host, listener.port)
    free(listener)


def test_connections_are_spread_over_the_sockets() -> None:
    listener = listen(STREAM, "127.0.0.1", 0, 2)
    clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(200)]
    took: Counter[int] = Counter()
    for number, sock in enumerate(listener.sockets):
        try:
            while True:
                accepted, _ = sock.accept()
                accepted.close()
                took[number] += 1
        except BlockingIOError:
            pass
    assert sum(took.values()) == 200 and min(took[0], took[1]) > 40
    for client in clients:
        client.close()
    free(listener)


def test_datagrams_are_spread_over_the_sockets() -> None:
    listener = listen(Role.DNS_UDP, "127.0.0.1", 0, 2)
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", listener.port))
    got = [0, 0]
    for number, sock in enumerate(listener.sockets):
        try:
            while sock.recv(10):
                got[number] += 1
        except BlockingIOError:
            pass
    assert sum(got) == 200 and min(got) > 40
    free(listener)


@pytest.mark.parametrize("role", [STREAM, Role.DNS_UDP])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_that_another_steering_has(role: Role, workers: int) -> None:
    """SO_REUSEPORT on both sides would let the second in, and give it half of what comes."""
    first = listen(role, "127.0.0.1", 0, workers)
    for other in (1, 2):
        with pytest.raises(ListenError) as caught:
            listen(role, "127.0.0.1", first.port, other)
        assert str(caught.value) == (
            f"{role.value}: cannot listen on 127.0.0.1:{first.port}: Address already in use; "
            f"end what has it, or choose another in {SETTINGS[role]}"
        )
    free(first)
    free(listen(role, "127.0.0.1", first.port, workers))


def test_every_role_has_its_setting() -> None:
    keys = [setting.split(".") for setting in SETTINGS.values()]
    assert set(SETTINGS) == set(Role)
    assert [key for section, key in keys if not hasattr(getattr(Config(), section), key)] == []


RACE = """
import sys
from steering.control.errors import ListenError
from steering.control.listening import Role, listen
sys.stdin.readline()
try:
    held = listen(Role[sys.argv[1]], "127.0.0.1", int(sys.argv[2]), 2)
    print("took", flush=True)
except ListenError:
    print("refused", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("role", [STREAM, Role.DNS_UDP])
def test_of_services_that_start_at_one_time_one_has_it(role: Role) -> None:
    port = free_port_pair("127.0.0.1")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, role.name, str(port)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout is not None]
    for racer in racers:
        racer.communicate("\n", timeout=20)
    assert said.count("took") <= 1 and set(said) <= {"took", "refused"}


def test_low_ports_and_foreign_addresses() -> None:
    with pytest.raises(ListenError, match="Cannot assign requested address"):
        listen(STREAM, "192.0.2.1", 0, 1)
    assert free_port_pair("127.0.0.1") > 0


# Sockets of somebody else, workers -> which worker reads which
SHARES = {
    (1, 1): [(0,)],
    (1, 3): [(0,), (0,), (0,)],
    (2, 3): [(0,), (1,), (0,)],
    (3, 3): [(0,), (1,), (2,)],
    (4, 3): [(0, 3), (1,), (2,)],
    (3, 1): [(0, 1, 2)],
}


@pytest.mark.parametrize(("count", "workers"), SHARES)
def test_every_worker_has_a_socket_and_every_socket_a_worker(count: int, workers: int) -> None:
    made = [socket.socket() for _ in range(count)]
    for sock in made:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", made[0].getsockname()[1]))
    listener = adopt(STREAM, "127.0.0.1", made[0].getsockname()[1], made)
    shares = [listener.of_worker(number, workers) for number in range(workers)]
    assert [tuple(made.index(sock) for sock in share) for share in shares] == SHARES[count, workers]
    free(listener)


def test_a_socket_that_cannot_listen() -> None:
    """Connected already."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
        pytest.raises(ListenError, match=r"explicit proxy: cannot listen on 127\.0\.0\.1:1"),
    ):
        adopt(STREAM, "127.0.0.1", 1, [sock])
