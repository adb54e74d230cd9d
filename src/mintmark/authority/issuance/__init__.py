"""Approval to linted Draft to Certificate; CRLs and OCSP responses the same way."""
