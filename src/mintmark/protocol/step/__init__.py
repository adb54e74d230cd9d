"""The step protocol: what `step` and its libraries send, answered as they expect it.

Paths, statuses and bodies are step-ca's; what is decided is decided by the authority, as for
every other protocol. `docs/reference/step.md` lists where we are stricter.
"""
