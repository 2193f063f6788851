"""Addresses of a name in the real view, for those who connect on behalf of clients."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from steering.policy import parse_host
from steering.policy.errors import HostError
from steering_dns import wire
from steering_dns.answer import Snapshot
from steering_dns.lookup import Lookup, LookupFailed
from steering_dns.plan import Local
from steering_dns.settings import Address, DnsSettings
from steering_dns.views import Kind, View


class ResolveError(Exception):
    """reason: "nxdomain", "nodata", "servfail" (no upstream answers), "private" (rebinding), "name" (not a name)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver:
    """``resolve`` honours zones and reserved names, never steers, and shares the server's cache."""

    def __init__(
        self, settings: DnsSettings, snapshot: Callable[[], Snapshot], lookup: Lookup, clock: Callable[[], float]
    ) -> None:
        self._snapshot = snapshot
        self._lookup = lookup
        self._clock = clock
        self._view = View(Kind.REAL, IPv6Address("::1"))

    async def resolve(self, name: str) -> list[Address]:
        """IPv4 and IPv6 addresses of a normalised name, IPv6 first as the system would.  Raises ResolveError."""
        try:
            host = parse_host(name)
        except HostError as exc:
            raise ResolveError("name", str(exc)) from exc
        if not host.is_name:
            raise ResolveError("name", f"{name!r} is an address or nothing, not a host name")
        asked = wire.to_wire(host.text)
        found = await asyncio.gather(
            self._family(asked, wire.AAAA), self._family(asked, wire.A), return_exceptions=True
        )
        addresses: list[Address] = []
        errors: list[BaseException] = []
        for family in found:
            if isinstance(family, BaseException):
                errors.append(family)
            else:
                addresses += family
        if addresses:
            return addresses
        raise _worst(errors, name)

    async def _family(self, name: bytes, qtype: int) -> list[Address]:
        question = wire.Query(b"\0\0", 1, name, qtype, wire.IN, name + qtype.to_bytes(2, "big") + b"\0\1", None)
        plan = self._snapshot().planner.plan(question, self._view, self._clock())
        text = wire.to_text(name)
        if isinstance(plan, Local):
            return _local_addresses(plan, qtype, text)
        try:
            entry = await self._lookup.find(plan, plan.prefixes[0] + question.key)
        except LookupFailed as exc:
            stale = self._lookup.stale_entry(plan.prefixes[0] + question.key)
            if stale is None:
                raise ResolveError("servfail", f"{text} cannot be resolved: {exc}") from exc
            entry = stale
        sections = entry.sections
        if sections.addresses:
            return [_address(packed) for packed in sections.addresses]
        if sections.filtered:
            raise ResolveError("private", f"{text} is a public name with a private address")
        if sections.rcode == wire.NXDOMAIN:
            raise ResolveError("nxdomain", f"{text} does not exist")
        raise ResolveError("nodata", f"{text} has no address")


def _local_addresses(plan: Local, qtype: int, text: str) -> list[Address]:
    if plan.rcode == wire.NXDOMAIN:
        raise ResolveError("nxdomain", f"{text} does not exist ({plan.tally.why})")
    size = 4 if qtype == wire.A else 16
    step = 12 + size  # owner pointer, fixed part, address
    if not plan.answers or len(plan.sections) != plan.answers * step:
        raise ResolveError("nodata", f"{text} has no address ({plan.tally.why})")
    return [_address(plan.sections[i * step + 12 : (i + 1) * step]) for i in range(plan.answers)]


def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


_GRAVITY = ("nodata", "servfail", "nxdomain", "private")


def _worst(errors: list[BaseException], name: str) -> BaseException:
    """What to tell of two failed families: what is said for certain rather than what is missing."""
    for error in errors:
        if not isinstance(error, ResolveError):
            return error
    known = [error for error in errors if isinstance(error, ResolveError)]
    known.sort(key=lambda error: _GRAVITY.index(error.reason) if error.reason in _GRAVITY else 0)
    return known[-1] if known else ResolveError("nodata", f"{name} has no address")
