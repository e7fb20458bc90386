"""Who takes part: engines and clients that are simulated, and the gateway, which is not."""
