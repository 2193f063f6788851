"""Telling systemd how we are (sd_notify(3)): ready, stopping, alive.  Without systemd nobody is told."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


class Supervising:
    """Whoever started us, if it wants to hear.  alive_s: how often it is to hear that we live, None for never."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.alive_s = _alive_s(environment)

    def tell(self, *words: str) -> None:
        """Never raises and never waits: a supervisor that does not listen is no reason to stop."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(words).encode(), self._address)

    async def keep_telling(self, healthy: Callable[[], bool] = lambda: True) -> None:
        """That we live, forever: from the loop that serves, so that one that hangs tells nothing.

        Nor does one that is not ``healthy``: after a while it is ended and started anew.
        """
        while True:
            await asyncio.sleep(self.alive_s or 3600.0)
            if healthy():
                self.tell(ALIVE)

    def tell_status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self.tell("STATUS=" + " ".join(text.split()))


def _address(text: str) -> str:
    """A path, or a name in Linux's abstract namespace, which begins with NUL."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _alive_s(environment: Mapping[str, str]) -> float | None:
    """Twice as often as it must be.  The time may be meant for another process that passed its environment on."""
    meant = environment.get("WATCHDOG_PID", "")
    if meant and meant != str(os.getpid()):
        return None
    period_us = environment.get("WATCHDOG_USEC", "")
    return int(period_us) / 2e6 if period_us.isascii() and period_us.isdecimal() and int(period_us) else None
