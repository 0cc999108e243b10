"""Pictures: masks, distances, measures of change, films and plots."""
