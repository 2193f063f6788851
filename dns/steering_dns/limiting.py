"""How many answers those get who are refused anyway: response rate limiting, by prefix.

Pure.  A refusal is no longer than its question, so nobody gains from having it sent to somebody else, but it is still
traffic to an address that may be forged.  Each /24 and /56 has a bucket of tokens; without one, every other question
gets an empty answer that is cut (TC): a client that is really there asks again by TCP, where its address is proved,
and the others get silence.  Clients in ``allowed`` are not limited here: what they may make us ask has bounds of its
own.
"""

from enum import Enum
from ipaddress import IPv6Address, ip_address

_IPV4_PREFIX, _IPV6_PREFIX = 3, 7  # bytes


class Verdict(Enum):
    ANSWER = "answer"
    CUT = "cut"
    SILENCE = "silence"


class Strangers:
    """Buckets of ``burst`` tokens that fill by ``per_s`` a second, for at most ``prefixes`` of them."""

    def __init__(self, *, per_s: float, burst: int, prefixes: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._prefixes = prefixes
        self._buckets: dict[bytes, tuple[float, float]] = {}  # tokens, as of when
        self.limited = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def verdict(self, client: str, now: float) -> Verdict:
        """What becomes of one more question of ``client``."""
        prefix = _prefix(client)
        tokens, at = self._buckets.get(prefix, (float(self._burst), now))
        tokens = min(self._burst, tokens + max(now - at, 0.0) * self._per_s)
        if prefix not in self._buckets and len(self._buckets) >= self._prefixes:
            self._buckets.clear()
        if tokens >= 1:
            self._buckets[prefix] = tokens - 1, now
            return Verdict.ANSWER
        self.limited += 1
        self._buckets[prefix] = tokens, now
        return Verdict.CUT if self.limited % 2 else Verdict.SILENCE


def _prefix(client: str) -> bytes:
    address = ip_address(client.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.packed[: _IPV6_PREFIX if isinstance(address, IPv6Address) else _IPV4_PREFIX]
