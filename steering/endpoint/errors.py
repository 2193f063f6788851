"""What keeps the helper from working; the text says what to do."""


class EndpointError(Exception):
    """The base of the helper's errors."""


class BundleError(EndpointError):
    """A policy bundle that is not put in force; the one before stays."""
