"""The service: configuration, processes, reload, and what it serves about itself."""
