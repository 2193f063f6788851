"""The devices that have enrolled: who they are, what they last said, and whether they are revoked.

``devices.json`` in the state folder has one device a line.  What a device says in its heartbeats is kept in memory;
on disk goes when it was last heard.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from steering.control.device_authority import LIFE
from steering.control.errors import StateError
from steering.control.keeping import Keeping

MAX_DEVICES = 100_000
# From the end of its certificate, with which it can do nothing any more.  It may have a newer one, of which a full
# disk kept nothing: that one ends by then, and until then its revocation must be known.
FORGET_AFTER_S = LIFE.total_seconds()
MAX_TEXT = 255
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device.  name, system: as it calls itself, for people.  ends_at: of its certificate.  Epoch seconds."""

    device_id: str
    group: str
    name: str
    system: str
    enrolled_at: float
    ends_at: float
    revoked_at: float | None = None
    seen_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a helper last said of itself.  revision: of the policy that it enforces.  address: as we see it.

    self_test, drift, counters: as the helper writes them, for people.
    """

    revision: str
    version: str
    error: str
    self_test: object
    drift: Mapping[str, object]
    counters: Mapping[str, object]
    address: str


class Devices:
    """All of them.  Changes hold at once, and are on disk when ``keep`` returns."""

    def __init__(self, path: Path, known: Iterable[Device] = ()) -> None:
        self._devices = {device.device_id: device for device in known}
        self._reports: dict[str, Report] = {}
        self._keeping = Keeping(path, self._render)
        self._revoked = frozenset(d.device_id for d in self._devices.values() if d.revoked_at is not None)

    @classmethod
    def load(cls, path: Path) -> "Devices":
        """Raises StateError for a file that is broken: forgetting it would take revocations back."""
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text("utf-8"))
            return cls(path, [_device(row) for row in content["devices"]])
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise StateError(
                f"{path} cannot be read: {exc}; restore it, or remove it and the "
                "folder device-ca beside it, which shuts out every device, and enrol them again"
            ) from exc

    def __len__(self) -> int:
        return len(self._devices)

    @property
    def revoked(self) -> frozenset[str]:
        return self._revoked

    def get(self, device_id: str) -> Device | None:
        return self._devices.get(device_id)

    def add(self, device: Device) -> None:
        """Raises StateError where there are too many."""
        if len(self._devices) >= MAX_DEVICES:
            self.prune(device.enrolled_at)
        if len(self._devices) >= MAX_DEVICES:
            raise StateError(f"there are {MAX_DEVICES} devices already")
        clipped = replace(device, name=device.name[:MAX_TEXT], system=device.system[:MAX_TEXT])
        self._devices[device.device_id] = clipped

    def renewed(self, device_id: str, ends_at: float) -> None:
        if device_id in self._devices:
            self._devices[device_id] = replace(self._devices[device_id], ends_at=ends_at)

    def heard(self, device_id: str, report: Report, now: float) -> None:
        if device_id in self._devices:
            self._devices[device_id] = replace(self._devices[device_id], seen_at=now)
            self._reports[device_id] = report

    def revoke(self, which: str, now: float) -> frozenset[str]:
        """By id, by name or by group; the ids that are newly revoked.

        An id that is not known here may be of a device that a restored backup knows nothing of: its certificate is
        good at every inspector until the id is on this list.
        """
        if _ID.fullmatch(which) and which not in self._devices:
            ends_at = now + LIFE.total_seconds()
            self._devices[which] = Device(
                device_id=which, group="", name="", system="", enrolled_at=now, ends_at=ends_at
            )
        found = [d for d in self._devices.values() if which in (d.device_id, d.name, d.group) and d.revoked_at is None]
        for device in found if which else ():
            self._devices[device.device_id] = replace(device, revoked_at=now)
        ids = frozenset(device.device_id for device in found) if which else frozenset()
        self._revoked |= ids
        return ids

    def prune(self, now: float) -> None:
        """Forget devices whose certificate ended long ago, revoked ones too: it opens nothing any more."""
        gone = [d.device_id for d in self._devices.values() if d.ends_at + FORGET_AFTER_S <= now]
        for device_id in gone:
            del self._devices[device_id]
            self._reports.pop(device_id, None)
        self._revoked -= frozenset(gone)

    def listed(self) -> list[dict[str, Any]]:
        """For people and scripts, the one heard last first."""
        ordered = sorted(self._devices.values(), key=lambda d: (-(d.seen_at or 0.0), d.enrolled_at))
        return [asdict(device) | {"report": self._report(device.device_id)} for device in ordered]

    def _report(self, device_id: str) -> dict[str, Any] | None:
        report = self._reports.get(device_id)
        return asdict(report) if report else None

    def heard_since(self, moment: float) -> int:
        return sum(d.seen_at is not None and d.seen_at >= moment for d in self._devices.values())

    async def keep(self) -> None:
        """Raises StateError."""
        await self._keeping.keep()

    def _render(self) -> Callable[[], bytes]:
        rows = tuple(self._devices.values())
        return lambda: b'{"devices": [\n%s\n]}\n' % b",\n".join(json.dumps(asdict(row)).encode() for row in rows)


def _device(row: Mapping[str, Any]) -> Device:
    return Device(
        device_id=str(row["device_id"]),
        group=str(row["group"]),
        name=str(row["name"]),
        system=str(row["system"]),
        enrolled_at=float(row["enrolled_at"]),
        ends_at=float(row["ends_at"]),
        revoked_at=_instant(row["revoked_at"]),
        seen_at=_instant(row["seen_at"]),
    )


def _instant(value: float | None) -> float | None:
    return None if value is None else float(value)
