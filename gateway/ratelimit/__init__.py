"""How much anyone may use, and what is counted for it."""
