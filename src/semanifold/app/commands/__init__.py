"""The commands of the command line, one module per group; :mod:`semanifold.app.commands.table` holds their table."""
