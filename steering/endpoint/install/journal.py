"""What was there before, on disk, so that undo is exact even after a crash in the middle.

An entry is written before its action is done and forgotten after it is undone; the first state of a thing is kept
however often it is installed anew.
"""

import base64
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from steering.endpoint.device import write_whole
from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import ACTION, Command, Edit, Setting

NAME = "install.json"  # in Machine.journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file as it was.

    content: base64, None where there was none.  after: SHA-256 of what ours made of it.
    folders: those that were made for it, outermost first.
    """

    path: str
    content: str | None = None
    after: str = ""
    folders: tuple[str, ...] = ()

    @property
    def bytes(self) -> bytes | None:
        return None if self.content is None else base64.b64decode(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """action: an action's JSON.  files: those that it changes.  value: of a setting, None where it was not set."""

    step: str
    action: str
    files: tuple[Kept, ...] = ()
    value: str | None = None

    def read_action(self) -> Edit | Command | Setting:
        return ACTION.validate_json(self.action)


_ENTRIES = TypeAdapter(list[Entry])


class Journal:
    """Raises EndpointError where what is on disk cannot be read: without it nothing is changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries: dict[str, Entry] = {}
        try:
            for entry in _ENTRIES.validate_json(self._path.read_bytes()):
                self._entries[_key(entry)] = entry
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as exc:
            raise EndpointError(f"{self._path} cannot be read, so nothing can be undone exactly: {exc}") from exc

    def entries(self) -> tuple[Entry, ...]:
        """In the order in which they were done."""
        return tuple(self._entries.values())

    def find(self, action: Edit | Command | Setting) -> Entry | None:
        return self._entries.get(f"{action.kind} {action.name}")

    def put(self, entry: Entry) -> None:
        """Raises OSError."""
        self._entries[_key(entry)] = entry
        self._write()

    def forget(self, entry: Entry) -> None:
        """Raises OSError."""
        self._entries.pop(_key(entry), None)
        self._write()

    def _write(self) -> None:
        if not self._entries:
            self._path.unlink(missing_ok=True)
            with suppress(OSError):  # the folder holds more than the journal
                self._path.parent.rmdir()
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(_ENTRIES.dump_python(list(self.entries()), mode="json"), indent=1).encode())


def _key(entry: Entry) -> str:
    action = entry.read_action()
    return f"{action.kind} {action.name}"
