"""Our own API under /api/v1: document 3's resources, OpenAPI 3.1, RFC 9457 problems."""
