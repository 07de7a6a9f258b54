"""Those who render, one folder each behind the seam in `base`."""
