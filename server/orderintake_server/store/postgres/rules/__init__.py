"""The rules of the audit that are of one kind, apart from the others."""
