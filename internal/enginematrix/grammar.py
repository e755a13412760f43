"""Parses the script on standard input, statement by statement: grammar.py DIALECT. Prints how many
statements it has; one that the grammar does not have ends it with an error."""
import sys

import sqlglot

count = 0
for statement in (sys.stdin.read() + "\n").split(";\n"):
    if statement.strip():
        parsed = sqlglot.parse(statement, read=sys.argv[1])
        if len(parsed) != 1:
            sys.exit(f"{len(parsed)} statements in one: {statement[:300]}")
        count += 1
print(count)
