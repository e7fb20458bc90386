"""The gateway process: from the listening socket to the engine and back."""
