"""``python -m semanifold`` is the command ``semanifold``."""

from semanifold.cli import main

raise SystemExit(main())
