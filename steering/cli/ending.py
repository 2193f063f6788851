"""How a command ends: an exit code and at most one line, whatever the file, the pipe or the user does to it.

0 ok, 1 a finding, 2 wrong use or what could not be done, 130 on Ctrl-C, 141 where nobody reads the output any more
(what a shell reports for SIGPIPE).  A traceback is left to what only a mistake in the program can raise.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

COULD_NOT, INTERRUPTED, NO_READER = 2, 130, 141


class _Output(io.TextIOWrapper):
    """Standard output that ends the command when its reader has left, as ``head`` does: no error, and no finding."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            _leave()

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            _leave()


def _leave() -> NoReturn:
    _drop_output()
    raise SystemExit(NO_READER)


def ended(run: Callable[[], None]) -> int:
    """Run a command to its end; its exit code."""
    _prepare_streams()
    try:
        code = _code_of(run)
        sys.stdout.flush()
    except SystemExit as exc:  # nobody reads
        return _as_code(exc)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as exc:
        _say(_words(exc))
        _drop_output()
        return COULD_NOT
    return code


def _code_of(run: Callable[[], None]) -> int:
    try:
        run()
    except SystemExit as exc:
        return _as_code(exc)
    except Exception as exc:
        if not _is_ours(exc):
            raise
        _say(str(exc))
        return COULD_NOT
    return 0


def _as_code(exc: SystemExit) -> int:
    return exc.code if isinstance(exc.code, int) else 0 if exc.code is None else COULD_NOT


def _is_ours(exc: Exception) -> bool:
    """Whether its text is meant for the user."""
    from steering.control.errors import ControlError
    from steering.endpoint.errors import EndpointError
    from steering.policy.errors import PolicyError

    return isinstance(exc, (ControlError, EndpointError, PolicyError))


def _words(exc: OSError) -> str:
    reason = exc.strerror or str(exc)
    return f"{os.fsdecode(exc.filename)}: {reason}" if isinstance(exc.filename, str | bytes) else reason


def _say(text: str) -> None:
    print(f"steering: {text}", file=sys.stderr)


def _prepare_streams() -> None:
    """A text that the terminal's encoding lacks is printed escaped; closed streams swallow what is printed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding, lines = sys.stdout.encoding, sys.stdout.line_buffering
        sys.stdout = _Output(sys.stdout.detach(), encoding, "backslashreplace", line_buffering=lines)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # for as long as the process


def _drop_output() -> None:
    """What is still buffered goes nowhere, so that the interpreter's last flush does not fail anew."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
