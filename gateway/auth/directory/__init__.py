"""Organisations → teams → users and service accounts → keys: who there is, and who may change it."""
