"""The real gateway in a world that is simulated to the last byte: time, network, engines and clients.

One seed gives one fault schedule; one schedule gives one history, bit for bit. `python -m simulation` runs many and
checks after each what must hold whatever happens.
"""
