"""From completed to told: the head of the completion log, and those who follow it."""
