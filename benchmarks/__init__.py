"""Side-by-side measurements against peers and the machine's limit; each module prints a table and exits 1 where a target is missed."""
