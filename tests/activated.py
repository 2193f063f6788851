"""Starts a program as systemd would: with sockets that are bound for it.

``python -m tests.activated KIND:HOST:PORT ... -- COMMAND ...``; KIND is tcp, udp or unix.  The process
becomes the command, as systemd's child does.
"""

import fcntl
import os
import socket
import sys

FIRST = 3


def launcher(*addresses: str) -> tuple[str, ...]:
    """What stands before a command that is to get sockets on ``addresses``."""
    return sys.executable, "-m", "tests.activated", *addresses, "--"


def bound(address: str) -> socket.socket:
    kind, _, at = address.partition(":")
    if kind == "unix":
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    host, _, port = at.rpartition(":")
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    if kind == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((bare, int(port)))
    if kind == "tcp":
        sock.listen()
    return sock


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    addresses, command = arguments[:split], arguments[split + 1 :]
    sockets = [bound(address) for address in addresses]
    # Out of the way first: one may lie where another has to go.
    high = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100) for sock in sockets]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, FIRST + number)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "x"}
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
