"""A subscriber as a program: prints the sequence of each completion; for tests that freeze it."""

import sys

from orderintake import Client


def main() -> None:
    """Subscribe to the server named on the command line, until killed."""
    with Client(sys.argv[1]) as client, client.completions() as completions:
        for completion in completions:
            sys.stdout.write(f"{completion.sequence}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
