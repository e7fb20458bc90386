"""Sources of endpoints. Each follows one place where engines are named and publishes what it sees."""
