"""One question to each listener: what peers that are mute, gone or somebody else are told to be."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from steering.control.doctor_asks import (
    ask_listener,
    ask_pac,
    ask_proxy,
    ask_resolver,
    ask_upstream,
    certificate_at,
    connects,
    from_here,
)
from steering.control.listening import Role
from steering_dns.upstreams import parse_upstream

HERE = "127.0.0.1"


@contextmanager
def answering(*replies: bytes) -> Iterator[int]:
    """A TCP peer that gives one connection after the other its reply, whatever it is asked; its port."""
    with socket.create_server((HERE, 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            for reply in replies:
                link, _ = server.accept()
                with link:
                    link.settimeout(20)
                    link.recv(4096)
                    link.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def gone() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HERE, 0)) as server:
        return int(server.getsockname()[1])


def said(head: str, body: str) -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


PAC = [
    (said("200 OK", "function FindProxyForURL(u, h) {}"), ""),
    (said("200 OK", "hello"), "/proxy.pac is no PAC"),
    (said("404 Not Found", ""), "/proxy.pac is answered with 404"),
]


@pytest.mark.parametrize(("reply", "problem"), PAC)
def test_a_control_service(reply: bytes, problem: str) -> None:
    with answering(reply) as port:
        assert ask_pac(HERE, port) == problem


def test_what_is_no_http() -> None:
    with answering(b"220 mail\r\n") as port:
        assert ask_pac(HERE, port).startswith("does not answer")


PROXY = [
    (said("502 Bad Gateway\r\nSteering-Reason: name-unknown", ""), ""),
    (
        said("403 Forbidden\r\nSteering-Reason: client", ""),
        "refuses this machine: its address is not in allowed of [inspector]",
    ),
    (said("200 OK", ""), "answers with 200 what it must refuse: this is no inspector"),
]


@pytest.mark.parametrize(("reply", "problem"), PROXY)
def test_a_proxy(reply: bytes, problem: str) -> None:
    with answering(said("200 OK", ""), reply) as port:
        assert ask_proxy(HERE, port) == problem


def test_what_is_no_proxy() -> None:
    with answering(said("400 Bad Request", "")) as port:
        assert ask_proxy(HERE, port) == "answers a CONNECT with b'HTTP/1.1 400 Bad Request\\r\\nContent-Length'"


@pytest.mark.parametrize("role", Role)
def test_a_listener_that_is_gone(role: Role) -> None:
    assert ask_listener(role, HERE, gone())


def test_connections() -> None:
    with socket.create_server((HERE, 0)) as server:
        assert connects(HERE, server.getsockname()[1]) == ""
    assert connects(HERE, gone()).startswith("cannot be connected to")


def test_names_are_asked_of_who_is_gone() -> None:
    assert ask_resolver(HERE, gone(), tcp=True).startswith("no answer")
    assert ask_upstream(parse_upstream(f"udp://{HERE}:{gone()}")).startswith("no answer")


def test_no_certificate() -> None:
    assert certificate_at("x", HERE, gone()).problem.startswith(HERE)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("0.0.0.0:1", ("127.0.0.1", 1)),
        ("[::]:1", ("::1", 1)),
        ("[2001:db8::1]:1", ("2001:db8::1", 1)),
    ],
)
def test_from_here(address: str, here: tuple[str, int]) -> None:
    assert from_here(address) == here
