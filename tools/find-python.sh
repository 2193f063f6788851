#!/bin/sh
# Prints the first interpreter that is new enough, or nothing.
for candidate in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
