"""The last good bundle on disk, enforced at the next start before, or without, anybody being asked.

One file, replaced whole, with the contents and what proved them: signatures are verified again and contents by their
hashes, so that a damaged file is none.  That its time is over is no reason against it: old rules beat no rules.
"""

import json
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from steering.endpoint.bundle.client import Fetched
from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET
from steering.endpoint.device import write_whole
from steering.endpoint.errors import BundleError

FILE = "last-good.json"
_PARTS = ("policy", "ca_pem", "root", "targets")


def save(folder: Path, bundle: Fetched) -> None:
    """Raises OSError."""
    content = {part: getattr(bundle, part).decode("utf-8") for part in _PARTS}
    write_whole(folder / FILE, json.dumps(content, ensure_ascii=False).encode("utf-8"))


def load(folder: Path) -> Fetched | None:
    """None where none was kept.  Raises BundleError for one that is damaged."""
    try:
        content = json.loads((folder / FILE).read_bytes())
        kept = Fetched(**{part: content[part].encode("utf-8") for part in _PARTS})
        _verify(kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RepositoryError) as exc:
        raise BundleError(f"the policy kept in {folder / FILE} is damaged: {exc}") from exc
    return kept


def _verify(kept: Fetched) -> None:
    root = Metadata[Root].from_bytes(kept.root).signed
    targets = Metadata[Targets].from_bytes(kept.targets)
    root.verify_delegate(Targets.type, targets.signed_bytes, targets.signatures)
    listed = targets.signed.targets
    for name, content in ((POLICY_TARGET, kept.policy), (CA_TARGET, kept.ca_pem)):
        if name in listed:
            listed[name].verify_length_and_hashes(content)
        elif content:
            raise ValueError(f"{name} is not vouched for")
