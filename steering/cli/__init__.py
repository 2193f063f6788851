"""The command line: one module a command, put together in ``commands``."""

from steering.cli.ending import ended


def main() -> None:
    """``steering``: run the command that the arguments name, and exit with its code."""
    raise SystemExit(ended(_run))


def _run() -> None:
    from steering.cli.commands import app  # late, so that Ctrl-C during the imports is quiet too

    app(prog_name="steering")
