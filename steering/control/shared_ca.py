"""The CA that a following inspector signs with: the control service's, mounted here by whoever runs both.

Its key never goes over the network.  A rotation writes the new CA long before clients trust it; so while one is in
use, another one takes its place only when the control service gives that one out (its bundle says so).
"""

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from steering.control.cafiles import load_shared_ca
from steering.process.logs import logger
from steering_inspector.keystore import Keystore

LOOK_S = 5.0

log = logger("ca")


class SharedCa:
    """announced: the PEM that clients are given, the certificate in use first; b"" where that is not known."""

    def __init__(self, folder: Path, announced: Callable[[], bytes]) -> None:
        self._folder = folder
        self._announced = announced
        self.keystore, self.problem = load_shared_ca(folder)
        if self.problem:
            log.error("the shared CA cannot be used: only bypasses are passed", error=self.problem)

    def look(self) -> bool:
        """Whether another CA is in use now than before."""
        if self.keystore is not None and self._is_announced(self.keystore):
            self.problem = ""
            return False
        found, problem = load_shared_ca(self._folder)
        if problem != self.problem and problem:
            log.error("the shared CA cannot be used", error=problem)
        self.problem = problem
        if found is None or (self.keystore is not None and not self._is_announced(found)):
            self.problem = problem or f"clients are given another CA to trust than the one mounted in {self._folder}"
            return False
        before, self.keystore = self.keystore, found
        if before is not None and before.der == found.der:
            return False
        log.info("signing with the shared CA", sha256=found.describe()["sha256"])
        return True

    def _is_announced(self, store: Keystore) -> bool:
        """What is not known is no reason to distrust what was mounted."""
        pem = self._announced()
        if not pem:
            return True
        first = x509.load_pem_x509_certificates(pem)[0]
        return first.public_bytes(Encoding.DER) == store.der
