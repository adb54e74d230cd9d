"""Issue, renew, rekey, revoke and the ceremony: numbered steps, one story each."""
