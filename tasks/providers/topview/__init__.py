"""TopView's Video Avatar API."""
