"""Path sets: many paths that belong together, learned or in closed form."""
