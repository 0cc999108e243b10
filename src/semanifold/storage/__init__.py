"""Files: written whole or not at all, and read with a bound on size, nesting and pixels, whoever wrote them."""
