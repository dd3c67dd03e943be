"""What goes on over a stream that may be lost: completions received, and orders placed."""
