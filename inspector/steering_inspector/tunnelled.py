"""A tunnel in the register: idle time, re-decision after a change of policy, and its line in the access log."""

from socket import socket

from steering.policy import Effect
from steering.policy.hosts import Address
from steering.streams.tunnel import Pair
from steering_inspector.conversation import Tunnel, still_tunnelled
from steering_inspector.workings import Outcome, Workings


class Tunnelled:
    """See the module."""

    def __init__(self, workings: Workings, client: Address, step: Tunnel, began_at: float) -> None:
        self._workings = workings
        self._client = client
        self._step = step
        self._began_at = began_at
        self._pair: Pair | None = None
        self._carried = 0
        self._deadline = 0.0
        self._reported = False

    def start(self, client: socket, origin: socket, first: bytes) -> None:
        self._deadline = self._workings.loop.time() + self._workings.limits.tunnel_idle_s
        self._pair = Pair(self._workings.loop, client, origin, self._on_end)
        self._pair.start(first)

    def _on_end(self, error: OSError | None) -> None:
        self._finish(self._step.reason)

    def _finish(self, reason: str) -> None:
        pair, step = self._pair, self._step
        if pair is None or self._reported:
            return
        self._reported = True
        pair.close()
        self._workings.gone(self, self._client)
        outcome = Outcome(
            step.name.host.text,
            Effect.TUNNEL.value,
            step.name.decision,
            reason,
            sent=pair.down.carried,
            received=pair.up.carried,
        )
        self._workings.report(str(self._client), self._began_at, outcome)

    @property
    def idle(self) -> bool:
        return False

    def check(self, now: float) -> None:
        if self._pair is None:
            return
        if self._pair.carried != self._carried:
            self._carried = self._pair.carried
            self._deadline = now + self._workings.limits.tunnel_idle_s
        elif now >= self._deadline:
            self._finish("timeout")

    def recheck(self) -> None:
        if not still_tunnelled(self._step.names, bool(self._step.reason), self._workings.view(self._client)):
            self._finish("policy-change")

    def abort(self) -> None:
        self._finish("shutdown")
