"""Why a PAC is not published."""


class PacError(ValueError):
    """A PAC that cannot be made or did not pass its gates; the PAC before it stays.  The text lists every reason."""
