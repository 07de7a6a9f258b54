"""Faces in pictures: detection and a 468-point mesh, offline, on the CPU."""

from tasks.facemesh.detector import Face, FaceDetector
from tasks.facemesh.mesh import FaceMesh

__all__ = ["Face", "FaceDetector", "FaceMesh"]
