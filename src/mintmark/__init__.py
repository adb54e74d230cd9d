"""mintmark: a private certification authority for the whole life of internal certificates."""

__version__ = "0.1.0"
