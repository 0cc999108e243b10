"""What paths do, found out from pictures: walking them, reading attributes, scoring and naming."""
