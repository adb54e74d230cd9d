"""ACME: RFC 8555, 8737, 8738, 9773 and the profiles draft, one file for each part of §7."""
