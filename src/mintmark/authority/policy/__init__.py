"""Who may have what: the only maker of an Approval."""
