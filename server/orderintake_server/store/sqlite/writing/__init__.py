"""How a transaction of the writer is written: in as few statements as may be."""
