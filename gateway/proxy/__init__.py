"""One request's life: the Exchange, what it decides, and the drivers that own sockets and decide nothing."""
