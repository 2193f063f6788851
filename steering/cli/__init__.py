"""The command line: one module a command, put together in ``commands``."""

import sys

from steering.cli.ending import ended


def main() -> None:
    """``steering``: run the command that the arguments name, and exit with its code."""
    raise SystemExit(ended(_run))


def _run() -> None:
    """Imports late, so that Ctrl-C during the imports is quiet too."""
    if sys.argv[1:2] == ["endpoint"]:
        # The helper is started with its computer: it must not wait for the imports of every other command.
        from steering.cli.endpoint import app as endpoint

        endpoint(sys.argv[2:], prog_name="steering endpoint")
        return
    from steering.cli.commands import app

    app(prog_name="steering")
