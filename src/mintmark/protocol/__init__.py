"""Foreign vocabularies, one folder per specification, strangers to each other."""
