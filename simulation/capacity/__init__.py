"""What a pool of engines can carry, and how the gateway shares it: scenarios of load in virtual time.

The gateway is the product's own, from the Exchange to the balancer; only its sockets are left out, and the engines are
a model of vLLM's scheduler. `cascadia simulate` is its face.
"""
