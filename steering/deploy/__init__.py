"""Ready-to-paste files that lead networks, browsers and devices to a running service.

Pure: the facts of a service in (``facts``), files and what each does out (``targets``, ``render``).  Every value goes
into a template through the quoting of the file's format (``steering.formats.quoting``).
"""
