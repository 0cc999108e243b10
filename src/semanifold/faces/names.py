"""Names of the bundled world that are known without torch."""

MASK_REGIONS: tuple[str, ...] = ("mouth", "eyes", "brows", "nose", "hair", "face", "background")
"""The regions that have a mask; pose and light change the whole picture."""
BUNDLED_NAMES = ("faces", "analytic")
"""The generators that come with the package, both of the world of faces."""
