"""Who a client says it is, whom it trusts, and what goes with its calls for that."""
