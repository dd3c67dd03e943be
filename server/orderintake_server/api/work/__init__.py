"""The calls of workers: read, answered, and joined to the room that does what they ask."""
