"""For what is handed a TLS context and must not use it."""

import ssl


def no_context() -> ssl.SSLContext:
    raise AssertionError("nothing is connected here")
