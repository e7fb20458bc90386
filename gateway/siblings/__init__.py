"""Several gateway processes as one service: what each tells the others of itself, and one answer of all of them."""
