"""Challenges: control of an identifier, seen from outside (RFC 8555 §8, RFC 8737, RFC 8738)."""
