"""``python -m shadownb`` is the ``shadownb`` command."""

from __future__ import annotations

import sys

from shadownb.cli import main

sys.exit(main())
