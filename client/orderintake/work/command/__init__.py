"""The command `orderintake worker`: runs a handler for the orders of a server."""
