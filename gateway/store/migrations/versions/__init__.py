"""One module for each revision, oldest first. A revision that was shipped is never changed."""
