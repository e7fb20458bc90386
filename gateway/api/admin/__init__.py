"""The administration over HTTP: each route says who may call it, each change is written down."""
