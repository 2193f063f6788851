"""The names of accounts, asked for without making anybody wait.

Local accounts are read once, at the start.  Others may be known to a directory service, which may take seconds to
answer: those are looked up in a thread.
"""

import pwd
import time
from collections.abc import Callable

RETRY_S = 60.0


class Users:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names = {entry.pw_uid: entry.pw_name for entry in reversed(pwd.getpwall())}  # as getpwuid: the first
        self._missed: dict[int, float] = {}

    def known(self, uid: int) -> str | None:
        return self._names.get(uid)

    def is_asked_for(self, uid: int) -> bool:
        """Whether it is unknown, and ``look_up`` has not just failed."""
        return uid not in self._names and self._clock() >= self._missed.get(uid, 0) + RETRY_S * (uid in self._missed)

    def look_up(self, uid: int) -> str | None:
        """Blocking."""
        if not self.is_asked_for(uid):
            return self.known(uid)
        try:
            self._names[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            self._missed[uid] = self._clock()
            return None
        return self._names[uid]
