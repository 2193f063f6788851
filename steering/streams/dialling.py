"""Waiting for a plain socket without asyncio's own calls, which cost several times what they wait for.

uvloop's ``sock_connect`` asks ``getaddrinfo`` whether an address is one, by way of IDNA: 60 us for what is two system
calls.
"""

import os
from asyncio import AbstractEventLoop, Future
from socket import SO_ERROR, SOL_SOCKET, socket


async def dialled(loop: AbstractEventLoop, sock: socket, where: tuple[str, int]) -> None:
    """Connect a non-blocking socket to an address.  Raises OSError."""
    try:
        sock.connect(where)
    except (BlockingIOError, InterruptedError):
        await writable(loop, sock)
        error = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error)) from None


async def readable(loop: AbstractEventLoop, sock: socket) -> None:
    waiter: Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_reader(descriptor, _wake, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


async def writable(loop: AbstractEventLoop, sock: socket) -> None:
    waiter: Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_writer(descriptor, _wake, waiter)
    try:
        await waiter
    finally:
        loop.remove_writer(descriptor)


def _wake(waiter: "Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
