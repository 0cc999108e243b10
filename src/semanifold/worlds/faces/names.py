"""Names of the bundled world that are known without torch."""

MASK_REGIONS: tuple[str, ...] = ("mouth", "eyes", "brows", "nose", "hair", "face", "background")
"""The regions that have a mask; pose and light change the whole picture."""
LABELS: tuple[str, ...] = (
    "background", "clothes", "skin", "hair", "brows", "lids", "whites", "irises", "nose", "lips", "mouth", "teeth"
)  # fmt: skip
"""The parts of a face in a label map, in the order of their numbers; the mouth is what lies between the lips, without teeth."""
