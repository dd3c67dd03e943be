"""The floor of a batch: rows into SQLite, as many in a commit, flushed as ours are; nothing else.

As a program: `bare_row.py FOLDER ROWS SIZE` inserts so many rows, SIZE in a commit, and prints the
seconds, and the seconds of processor time.
"""

import sqlite3
import sys
import time
from pathlib import Path

import load

ROW = ("customer-0001", 1, 1, 1_700_000_000_000_000, load.REQUEST.SerializeToString())
TABLE = """
CREATE TABLE orders (
  accept_sequence INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, tier INTEGER NOT NULL,
  rank INTEGER NOT NULL, accept_time INTEGER NOT NULL, content BLOB NOT NULL
)
"""
INSERT = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)"


def main() -> None:
    """Insert, and print."""
    folder, rows, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(TABLE)
    began, worked = time.perf_counter(), time.process_time()
    for first in range(0, rows, size):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, ((first + each, *ROW) for each in range(size)))
        connection.execute("COMMIT")
    print(time.perf_counter() - began, time.process_time() - worked)


if __name__ == "__main__":
    main()
