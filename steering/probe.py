"""The health check of the container image: ``python -m steering.probe``, which exits with 0 while a policy is enforced.

It says what ``steering status --ready`` says, for a tenth of the CPU: an engine runs it twice a minute for as long as
the service lives, so it imports the standard library alone, and little of that.
"""

import json
import os
import socket
import sys

TIMEOUT_S = 8.0
MAX_ANSWER_BYTES = 4 << 20


def is_ready(path: str) -> bool:
    """Whether the service on the Unix socket ``path`` enforces a policy.  Raises OSError, ValueError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(path)
        sock.sendall(b"GET /status HTTP/1.0\r\nHost: steering\r\n\r\n")
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
            if len(answer) > MAX_ANSWER_BYTES:
                raise ValueError("an answer without end")
    return json.loads(answer.partition(b"\r\n\r\n")[2])["is_ready"] is True


def main() -> int:
    path = os.path.join(os.environ.get("STEERING_STATE_DIR", "/state"), "steering.sock")  # noqa: PTH118  # see above
    try:
        ready = is_ready(path)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        print(f"{path}: {exc}", file=sys.stderr)
        return 1
    print("ready" if ready else "not ready: no policy is enforced")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
