"""What is measured on a finished video: pictures, sound, and whether they belong together."""
