"""The commands of the command line, one module per group; :mod:`semanifold.cli` holds their table."""
