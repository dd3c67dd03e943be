"""From the completion log to its subscribers: the head of the log, the ring, subscriptions."""
