"""``python -m semanifold`` is the command ``semanifold``."""

from semanifold.app.cli import main

raise SystemExit(main())
