"""``python -m a2lc``: the same as the command ``a2lc``."""

from a2lc.cli import main

if __name__ == "__main__":
    main()
