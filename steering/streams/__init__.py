"""Sockets as inspector and endpoint helper use them: a connection with TLS of our own, bytes between two of them."""
