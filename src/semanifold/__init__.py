"""semanifold finds the meaningful ways in which the pictures of a pretrained generator can change, and lets a person steer them."""

__version__ = "0.1.0"
