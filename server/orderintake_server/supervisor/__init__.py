"""Workers in processes of their own: the server starts them, watches them, and renews them."""
