"""Our own API under /api/v1: resources, OpenAPI 3.1, RFC 9457 problems."""
