"""Which engines there are, what they serve and how they are doing."""
