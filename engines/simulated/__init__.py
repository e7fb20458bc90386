"""A stand-in for vLLM 0.32: same routes, bytes, errors and metrics, with scripted speed and faults, and no model."""

from engines.simulated.engine import SimulatedEngine
from engines.simulated.journal import Journal, Record
from engines.simulated.options import Options
from engines.simulated.script import At, Fault, FaultKind, Script

__all__ = ["At", "Fault", "FaultKind", "Journal", "Options", "Record", "Script", "SimulatedEngine"]
