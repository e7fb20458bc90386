"""The clerk: a process of the gateway's own that brings records from the spool to the database.

The gateway then has no database library in its memory and none of the work on its interpreter. It owns the spool's files
and decides what is moved when; the clerk keeps nothing that matters and may die at any moment. `clerk.Clerk` is the gateway's side of it; `__main__` runs in the process itself, which imports no
more than it needs.
"""
