"""What mintmark costs on this machine, beside what it would cost at least.

`python -m bench` measures, prints a table and writes JSON. Nothing here passes or fails: a
figure below its target is called so.
"""
