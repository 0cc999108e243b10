"""The version of semanifold."""

__version__ = "0.1.0"
