"""Whole responses of our own: about blocks, refusals and faults, and bare answers to CONNECT.  Pure."""

from http import HTTPStatus

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
    head_only: bool = False,
) -> bytes:
    """A page with its head, in plain text; the connection is closed after it."""
    lines = [f"{status} {HTTPStatus(status).phrase}: {reason}", f"host: {host}", f"why: {why}"]
    lines += [f"rule: {rule}"] if rule else []
    lines += [f"{key}: {value}" for key, value in details] + [f"id: {request_id}", ""]
    body = "\n".join(lines).encode("ascii", "backslashreplace")
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: text/plain; charset=us-ascii\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Steering-Reason: {reason}\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    return head if head_only else head + body
