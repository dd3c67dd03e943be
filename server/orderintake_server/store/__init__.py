"""Where orders are kept: `base` says what every store promises, the other modules do it."""
