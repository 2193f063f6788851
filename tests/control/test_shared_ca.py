"""The CA that is mounted is used, replaced when clients are given another one, and never made here."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from steering.control.shared_ca import SharedCa
from steering_inspector.keystore import Keystore, load_or_create, rotate


@dataclass
class Ground:
    """announced: what clients are given."""

    state: Path
    announced: bytes = b""

    @property
    def mounted(self) -> Path:
        return self.state / "ca"

    def make(self) -> Keystore:
        return load_or_create(self.state, time.time(), name="a CA")

    def shared(self) -> SharedCa:
        return SharedCa(self.mounted, lambda: self.announced)


def test_what_is_not_there_is_waited_for_and_not_made(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    shared = ground.shared()
    assert shared.keystore is None and "is missing: mount the control service's CA there" in shared.problem
    assert not shared.look() and not ground.mounted.exists()
    store = ground.make()
    assert shared.look() and shared.keystore is not None and shared.keystore.pem == store.pem
    assert (shared.problem, shared.look()) == ("", False)


def test_another_ca_is_used_when_it_is_given_out(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.announced = ground.make().bundle(time.time())
    shared = ground.shared()
    after = rotate(tmp_path, time.time(), name="the next")
    assert not shared.look() and shared.problem == "", "clients do not trust it yet"
    ground.announced = after.bundle(time.time())
    assert shared.look() and shared.keystore is not None and shared.keystore.pem == after.pem
    assert not shared.look()


def test_a_ca_that_clients_are_not_given_is_told(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.announced = ground.make().bundle(time.time())
    shared = ground.shared()
    ground.announced = load_or_create(tmp_path / "elsewhere", time.time(), name="another").bundle(time.time())
    assert not shared.look()
    assert shared.problem == f"clients are given another CA to trust than the one mounted in {ground.mounted}"
    shutil.rmtree(ground.mounted)
    assert not shared.look() and "is missing" in shared.problem
    assert shared.keystore is not None, "what is in memory is good as long as nothing better is there"
