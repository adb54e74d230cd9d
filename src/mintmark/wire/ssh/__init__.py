"""SSH's wire formats: keys, certificates and key revocation lists, bytes to values and back.

RFC 4251, 4253, 5656 and 8709, and OpenSSH's PROTOCOL.certkeys, PROTOCOL.krl and PROTOCOL.u2f.
The encodings are our own: `cryptography` does the arithmetic, and knows no security keys.
"""
