"""mingyan's DigitalHuman: a clip and a recording become a lip-synced video."""
