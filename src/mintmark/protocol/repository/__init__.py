"""The repository: CRLs, issuer certificates and health over plain HTTP (RFC 5280 §3)."""
