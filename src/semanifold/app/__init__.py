"""The doors: command line, and what is shared by it, notebooks and the studio."""
