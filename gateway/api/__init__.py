"""The control plane: everything that is not inference, on FastAPI."""
