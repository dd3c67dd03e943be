"""What is around every call, whatever its transport."""
