"""``python -m poolrl``, and the ``poolrl`` command."""

from __future__ import annotations

from poolrl.cli.main import main

if __name__ == "__main__":
    main()
