"""ZEGOCLOUD: digital humans that speak live into a room."""
