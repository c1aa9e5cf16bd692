"""`python -m ipsecmon` is the same as the console script."""

from __future__ import annotations

from ipsecmon.cli.main import main

if __name__ == "__main__":
    main()
