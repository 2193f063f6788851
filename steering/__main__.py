"""``python -m steering``."""

from steering.cli import main

if __name__ == "__main__":
    main()
