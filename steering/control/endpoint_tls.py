"""The TLS side of a listener for helpers: shows a certificate of the device CA, and verifies theirs by it."""

import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from steering.control.device_authority import ServerIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTls:
    """What a worker is told of the inspector's listener for helpers: the device CA (PEM), and what to show."""

    authority_pem: bytes
    identity: ServerIdentity


def context_of(tls: EndpointTls, *, required: bool) -> ssl.SSLContext:
    """required: whether who shows no certificate is refused in the handshake; a wrong one always is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(cadata=tls.authority_pem.decode("ascii"))
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    # A resumed session would outlive a renewed certificate, and would save little: verifying the certificate again
    # takes 0.2 of 0.75 ms, a ticket costs as much to make, and another worker could not read it.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    show(context, tls.identity)
    return context


def show(context: ssl.SSLContext, identity: ServerIdentity) -> None:
    """Let handshakes from now on show ``identity``.  Python's ssl reads keys from files alone; a memfd is no disk."""
    pem = identity.key_pem + identity.chain_pem
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
        name = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, name = tempfile.mkstemp(prefix="identity")  # 0600
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(name)
    finally:
        os.close(descriptor)
        if not name.startswith("/proc/"):
            Path(name).unlink()
