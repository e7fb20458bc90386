"""Configuration: one strict YAML file, environment overrides, and the models that check them."""
