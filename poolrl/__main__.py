"""Entry point of ``python -m poolrl`` and of the ``poolrl`` command."""

from __future__ import annotations

from poolrl.import_path import leave_out_working_directory

leave_out_working_directory()

import sys  # noqa: E402

from poolrl.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
