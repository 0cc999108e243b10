"""Worlds whose truth is known; see :class:`semanifold.core.world.World`."""
