"""``python -m skvae``."""

import sys

from ._cli import main

sys.exit(main())
