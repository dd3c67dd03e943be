"""From accepted to completed: the committer, the queue, and the workers."""
