"""Server contexts per host: a leaf is minted at first contact, kept, and replaced before it ends."""

import os
import ssl
import tempfile
from collections import OrderedDict
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering.policy.hosts import parse_host
from steering_inspector.authority import Authority, mint, remint_at

DEFAULT_SIZE = 4096  # 20 KiB a context: 80 MB


class LeafContexts:
    """Contexts for the hosts asked for last.

    One leaf key per process, made here and never written down: a key per host would buy nothing, the CA signs
    each name alone.
    """

    def __init__(self, authority: Authority, *, crl_url: str = "", size: int = DEFAULT_SIZE) -> None:
        self._authority = authority
        self._crl_url = crl_url
        self._size = size
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._contexts: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()
        self.minted = 0

    def __len__(self) -> int:
        return len(self._contexts)

    @property
    def authority_id(self) -> str:
        return self._authority.id

    def get(self, host: str, now: float) -> ssl.SSLContext:
        """The context to answer ``host`` (normalised) with.  Minting costs about a millisecond."""
        kept = self._contexts.get(host)
        if kept is not None and now < kept[0]:
            self._contexts.move_to_end(host)
            return kept[1]
        leaf = mint(self._authority, parse_host(host), self._key.public_key(), now, self._crl_url)
        context = _server_context(self._key_pem + leaf.public_bytes(serialization.Encoding.PEM))
        self._contexts[host] = (remint_at(leaf), context)
        self._contexts.move_to_end(host)
        self.minted += 1
        if len(self._contexts) > self._size:
            self._contexts.popitem(last=False)
        return context


def _server_context(pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 1
    context.set_alpn_protocols(["http/1.1"])
    _load(context, pem)
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Python's ssl reads keys from files only; a memfd is one that never touches a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    descriptor, name = tempfile.mkstemp(prefix="leaf")  # 0600
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(name)
    finally:
        os.close(descriptor)
        Path(name).unlink()
