"""From accepted to completed: the queue, the one owner of changes, the workers, the subscribers."""
