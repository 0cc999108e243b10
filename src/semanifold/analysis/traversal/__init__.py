"""Traversals: paths walked both ways from the codes of a pool, as codes, pictures and films in a folder."""

from semanifold.analysis.traversal.films import FILMS, ROWS, SUMMARIES, FilmGrid, shrunk, small_film, write_films
from semanifold.analysis.traversal.records import FACTS, IMAGES, PictureFiles, Traversal, folder_name, read_traversal
from semanifold.analysis.traversal.walking import (
    CODES,
    ORIGINAL,
    PUBLISHED_CODES,
    fingerprint_of,
    moments,
    save_picture,
    walk,
    write_codes,
    write_path,
)

__all__ = [
    "CODES",
    "FACTS",
    "FILMS",
    "IMAGES",
    "ORIGINAL",
    "PUBLISHED_CODES",
    "ROWS",
    "SUMMARIES",
    "FilmGrid",
    "PictureFiles",
    "Traversal",
    "fingerprint_of",
    "folder_name",
    "moments",
    "read_traversal",
    "save_picture",
    "shrunk",
    "small_film",
    "walk",
    "write_codes",
    "write_films",
    "write_path",
]
