"""Bytes to values and back, without I/O, clock or database: safe to fuzz."""
