"""What the commands do, one module per group: from a request (the command's arguments) to a run folder."""
