"""An identifier that is believed only while it knows this very process, and a record of what came of testing it.

What fails the self-test answers "unknown" for everybody: the policy then says what becomes of unknown programs.  It is
tested again from time to time, as a loaded computer may fail a test that it passes later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.endpoint.identify.selftest import Tested, run_self_test
from steering.policy import System

ATTEMPTS = 3
AGAIN_S = 60.0

SelfTest = Callable[[Identifier], Awaitable[Sequence[Tested]]]


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of a self-test, one for each kind of address."""

    tested: tuple[Tested, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether what the identifier says may be believed."""
        return bool(self.tested) and not any(result.why for result in self.tested)

    @property
    def words(self) -> str:
        if not self.tested:
            return "failed: this computer has no loopback address to test it with"
        told = "; ".join(f"{result.kind}: {result.why or _method(result)}" for result in self.tested)
        return f"{'passed' if self.passed else 'failed'}: {told}"


async def tried(identifier: Identifier, test: SelfTest = run_self_test) -> Trial:
    """The best of a few attempts."""
    for _ in range(ATTEMPTS):
        trial = Trial(tuple(await test(identifier)))
        if trial.passed:
            break
    return trial


def _method(result: Tested) -> str:
    return f"by {result.identity.method.value}" if result.identity else ""


class TriedIdentifier:
    """An ``Identifier`` around another one.  Nothing is believed before ``try_now`` has passed."""

    def __init__(self, inner: Identifier, system: System, test: SelfTest = run_self_test) -> None:
        self.trial = Trial()
        self.notes = inner.notes
        self._inner = inner
        self._test = test
        self._unknown = Identity(system=system, unknown="the helper's self-test of identification has not passed")

    @property
    def wants(self) -> frozenset[str]:
        return self._inner.wants

    @wants.setter
    def wants(self, wants: frozenset[str]) -> None:
        self._inner.wants = wants

    async def try_now(self) -> Trial:
        self.trial = await tried(self._inner, self._test)
        return self.trial

    async def try_again(self, tell: Callable[[Trial], None], every_s: float = AGAIN_S) -> None:
        """For as long as the helper runs: test again where it has not passed.  tell: it has passed now."""
        while True:
            await asyncio.sleep(every_s)
            if not self.trial.passed and (await self.try_now()).passed:
                tell(self.trial)

    def fast(self, ends: Ends) -> Identity | None:
        return self._inner.fast(ends) if self.trial.passed else self._unknown

    async def full(self, ends: Ends) -> Identity:
        return await self._inner.full(ends) if self.trial.passed else self._unknown

    def watch(self) -> None:
        self._inner.watch()

    def close(self) -> None:
        self._inner.close()
