"""Values and errors that every layer speaks in. Standard library only, no I/O."""
