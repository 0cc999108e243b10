"""The commands of the command line, one module per group; :mod:`semanifold.commands.table` holds their table."""
