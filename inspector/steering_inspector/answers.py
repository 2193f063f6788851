"""Whole responses of our own: pages about blocks, refusals and faults, and the answer to CONNECT.  Pure."""

from steering_inspector.pages import page

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def answer(
    status: int,
    reason: str,
    *,
    host: str,
    why: str,
    rule: str | None,
    request_id: str,
    details: tuple[tuple[str, str], ...] = (),
    accept: str = "",
    head_only: bool = False,
) -> bytes:
    """A page with its head (head_only: for HEAD); the connection is closed after it."""
    whole = page(status, reason, host=host, why=why, rule=rule, request_id=request_id, details=details, accept=accept)
    return whole[: whole.index(b"\r\n\r\n") + 4] if head_only else whole
