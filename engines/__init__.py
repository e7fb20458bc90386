"""Everything that knows what an inference engine is: adapters, launchers, the simulated engine."""
