"""The inspector: peeks at each TLS connection, then tunnels it or opens it, as the policy says."""
