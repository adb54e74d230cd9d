"""The nouns: frozen values, errors and tables that every other package speaks in."""
