"""What replicas know of each other, and of the workers that only others of them hear."""
