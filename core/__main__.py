"""``python -m scoresde.core`` is the command ``scoresde``."""

from .cli import main

main()
