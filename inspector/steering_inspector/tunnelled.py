"""A tunnel in the register: idle time, re-decision after a change of policy, and its line in the access log."""

from socket import socket

from steering.policy import Effect
from steering.streams.carried import Carried
from steering.streams.crossing import Crossing
from steering.streams.link import UNOWNED, Link
from steering.streams.tunnel import Pair
from steering_inspector.conversation import Tunnel, still_tunnelled
from steering_inspector.workings import Client, Outcome, Workings


class Tunnelled:
    """See the module."""

    def __init__(self, workings: Workings, client: Client, step: Tunnel, began_at: float) -> None:
        self._workings = workings
        self.client = client
        self._step = step
        self._began_at = began_at
        self._way: Pair | Crossing | None = None
        self._carried = 0
        self._deadline = 0.0
        self._reported = False

    def start(self, client: Link, origin: socket, first: bytes) -> None:
        loop, limits = self._workings.loop, self._workings.limits
        self._deadline = loop.time() + limits.tunnel_idle_s
        if isinstance(client, Carried):
            self._way = Crossing(loop, client, Link(origin, loop, limits, UNOWNED), self._on_end)
        else:
            self._way = Pair(loop, client.release(), origin, self._on_end)
        self._way.start(first)

    def _on_end(self, error: Exception | None) -> None:
        self._finish(self._step.reason)

    def _finish(self, reason: str) -> None:
        way, step = self._way, self._step
        if way is None or self._reported:
            return
        self._reported = True
        way.close()
        self._workings.gone(self)
        outcome = Outcome(
            step.name.host.text,
            Effect.TUNNEL.value,
            step.name.decision,
            reason,
            sent=way.down if isinstance(way, Crossing) else way.down.carried,
            received=way.up if isinstance(way, Crossing) else way.up.carried,
        )
        self._workings.report(self.client, self._began_at, outcome)

    @property
    def idle(self) -> bool:
        return False

    def check(self, now: float) -> None:
        if self._way is None:
            return
        if self._way.carried != self._carried:
            self._carried = self._way.carried
            self._deadline = now + self._workings.limits.tunnel_idle_s
        elif now >= self._deadline:
            self._finish("timeout")

    def recheck(self) -> None:
        if not still_tunnelled(self._step.names, bool(self._step.reason), self._workings.view(self.client)):
            self._finish("policy-change")

    def abort(self, reason: str = "shutdown") -> None:
        self._finish(reason)
