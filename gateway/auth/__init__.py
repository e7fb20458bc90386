"""Who is calling: credentials in, a `Principal` out, without I/O on the request's path."""
