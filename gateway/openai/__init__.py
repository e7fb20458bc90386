"""The OpenAI API on the wire: its table of operations, request bodies, event streams and errors. No I/O."""
