"""What is to happen: a value, drawn from a seed, that a person can read."""

from simulation.schedule.draw import draw
from simulation.schedule.values import Schedule

__all__ = ["Schedule", "draw"]
