"""HTTP clients for programs and for the command line."""
