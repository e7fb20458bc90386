"""Callers with tokens of an identity provider: signed JWTs (RFC 7519), checked as RFC 8725 advises."""
