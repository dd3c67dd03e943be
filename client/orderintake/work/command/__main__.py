"""Runs the command where only the package is at hand: `python -m orderintake.work.command`."""

import sys

from orderintake.work.command.run import main

main(sys.argv[1:])
