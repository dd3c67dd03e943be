"""What users would pick instead, each run as its own documentation says is best."""
