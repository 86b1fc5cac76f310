"""``python -m skvae``."""

from ._cli import main

main()
