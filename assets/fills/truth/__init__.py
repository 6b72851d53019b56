"""How far the fills can be believed: shadow orders, and order logs set against the simulator (docs/fidelity.md)."""
