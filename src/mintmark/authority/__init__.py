"""The only package that decides and signs."""
