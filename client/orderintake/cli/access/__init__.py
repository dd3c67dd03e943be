"""How the commands connect, and whom they say they are."""
