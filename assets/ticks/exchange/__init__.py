"""The simulated exchange: a matching engine, an order flow with a latent price, and the records a vendor would capture."""

from assets.ticks.exchange.session import Instrument, Simulated, Truth, simulate

__all__ = ["Instrument", "Simulated", "Truth", "simulate"]
