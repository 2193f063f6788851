"""What keeps the helper from working; the text says what to do."""


class EndpointError(Exception):
    """The base of the helper's errors."""


class BundleError(EndpointError):
    """A policy bundle that is not put in force; the one before stays."""


class ServiceUnreachable(EndpointError):
    """Nobody answered, or somebody else did."""


class ServiceRefused(EndpointError):
    """The service answered no.  revoked: this device; unknown: it is not known there."""

    def __init__(self, text: str, status: int, *, revoked: bool = False, unknown: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.revoked = revoked
        self.unknown = unknown
