"""Why a file cannot be made."""


class DeployError(ValueError):
    """A value that a format cannot hold, or a fact that a file lacks.  The text says what to change."""
