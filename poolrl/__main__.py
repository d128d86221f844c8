"""Entry point of ``python -m poolrl`` and of the ``poolrl`` command."""

from __future__ import annotations

import sys

from poolrl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
