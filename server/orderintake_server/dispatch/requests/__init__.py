"""What is requested of the committer: by callers, by this process's own slots, by workers."""
