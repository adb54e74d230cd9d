.PHONY: up test bench lock

up: ## install into .venv, create ./mintmark if there is none, and serve it
	@scripts/up $(ARGS)

test: ## install what the tests need and run them all
	@scripts/test $(ARGS)

bench: ## measure on this machine: a table, and JSON in bench/results
	@scripts/environment test
	@.venv/bin/python -m bench $(ARGS)

lock: ## take up new versions of what we depend on
	@scripts/lock
