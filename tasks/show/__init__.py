"""Live shows: a rundown drives a digital human in a room, and the stream always closes."""
