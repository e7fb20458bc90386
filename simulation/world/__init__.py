"""Time, chance and the network: what the real code would otherwise ask of the operating system."""
