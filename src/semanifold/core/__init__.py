"""What every room builds on: codes, solutions, progress, errors, and a little linear algebra."""
