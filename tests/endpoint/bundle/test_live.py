"""One reference, and whoever asked is told when it changes."""

from steering.endpoint.bundle.content import parse_bundle
from steering.endpoint.bundle.live import LiveBundle
from tests.endpoint.bundle.repository import bundle_of


def test_a_swap_is_seen_and_told() -> None:
    live = LiveBundle()
    assert live.bundle is None
    told: list[str] = []
    live.subscribe(lambda bundle: told.append(bundle.revision))
    first, second = parse_bundle(bundle_of("a.example")), parse_bundle(bundle_of("b.example"))
    for bundle in (first, second):
        live.swap(bundle)
        assert live.bundle is bundle
    assert told == [first.revision, second.revision]
