"""What a person types; one command family per file."""
