"""The bundle in force, behind one reference that an update swaps."""

from collections.abc import Callable

from steering.endpoint.bundle.content import Bundle


class LiveBundle:
    """Take ``bundle`` once per connection and keep to it.  None: no policy was ever fetched."""

    __slots__ = ("_subscribers", "bundle")

    def __init__(self, bundle: Bundle | None = None) -> None:
        self.bundle = bundle
        self._subscribers: list[Callable[[Bundle], None]] = []

    def subscribe(self, on_swap: Callable[[Bundle], None]) -> None:
        self._subscribers.append(on_swap)

    def swap(self, bundle: Bundle) -> None:
        self.bundle = bundle
        for on_swap in self._subscribers:
            on_swap(bundle)
