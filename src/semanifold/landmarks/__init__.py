"""Faces in photographs: where they are, their points, and how they lie; no download is needed."""

from semanifold.landmarks.alignment import UsualFace, ffhq_quad, quad_like, usual_face
from semanifold.landmarks.faces import Face, find_faces

__all__ = ["Face", "UsualFace", "ffhq_quad", "find_faces", "quad_like", "usual_face"]
