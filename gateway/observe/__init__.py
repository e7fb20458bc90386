"""What the gateway tells of itself: metrics and log lines, made of the one record that ends each call."""
