"""`python -m mintmark` is `mintmark`."""

from mintmark.cli.main import main

main()
