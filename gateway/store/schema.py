"""What all tables are declared in: `Table("name", METADATA, …)` in the package that uses them.

A declaration is for queries. What a database really has is written by the revisions in `migrations/versions`, and a test
holds the two against each other. Importing this loads SQLAlchemy: import it where a database is open, never at the top of
a module that is on the way to the first request.
"""

from sqlalchemy import MetaData

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of the program, once the modules that declare them are imported."""
