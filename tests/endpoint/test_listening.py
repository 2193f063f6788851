"""The helper's listeners: where they are, and what is said where they cannot be."""

import socket

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.listening import bind
from steering.endpoint.settings import EndpointSettings


def settings(listen: str = "127.0.0.1:0", transparent: str = "127.0.0.1:0", capture: bool = False) -> EndpointSettings:
    return EndpointSettings(listen=listen, transparent_listen=transparent, capture=capture)


def taken_port() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_without_capture_there_is_the_proxy_alone() -> None:
    listening = bind(settings())
    try:
        assert listening.address == f"127.0.0.1:{listening.explicit[0].getsockname()[1]}"
        assert listening.captured == ()
        with socket.create_connection(listening.explicit[0].getsockname(), 10):
            pass
    finally:
        listening.close()


@pytest.mark.parametrize("transparent", ["127.0.0.1:0", "[::1]:0"])
def test_captured_connections_of_both_families_come_to_one_port(transparent: str) -> None:
    listening = bind(settings(transparent=transparent, capture=True))
    try:
        names = {sock.getsockname()[:2] for sock in listening.captured}
        port = listening.captured_port
        assert names == {("127.0.0.1", port), ("::1", port)}
    finally:
        listening.close()


def test_ipv6_is_shown_in_brackets() -> None:
    listening = bind(settings("[::1]:0"))
    try:
        assert listening.address.startswith("[::1]:")
    finally:
        listening.close()


def test_a_taken_port_is_said_and_leaves_nothing_bound() -> None:
    with taken_port() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError) as caught:
            bind(settings(f"127.0.0.1:{port}"))
        assert str(caught.value) == (
            f"127.0.0.1:{port} is taken by another program: stop it, or name another port with 'listen'"
        )
        with pytest.raises(EndpointError, match="'transparent_listen'"):
            bind(settings(transparent=f"127.0.0.1:{port}", capture=True))
        with pytest.raises(EndpointError, match="'transparent_listen'"):
            bind(settings(transparent=f"[::1]:{port}", capture=True))


def test_another_trouble_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(EndpointError, match=r"cannot be listened on \('listen'\): Permission denied"):
        bind(settings())
