"""The embedded studio: what runs together on one machine."""
