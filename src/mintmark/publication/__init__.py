"""Tells the world: audit checkpoints, CRLs, OCSP; driven by the audit log."""
