"""Keys that can sign and cannot be read."""
