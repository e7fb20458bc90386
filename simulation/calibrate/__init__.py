"""Measuring a running engine, so that the model of one is as fast as it is; and how true the model is then."""
