"""The `cascadia` command: one module per verb, imported when its verb is called."""
