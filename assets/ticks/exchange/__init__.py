"""The simulated exchange: a matching engine, an order flow with a latent price, and the records a vendor would capture."""

from assets.ticks.exchange.session import Course, Instrument, Simulated, Truth, captured, courses, simulate

__all__ = ["Course", "Instrument", "Simulated", "Truth", "captured", "courses", "simulate"]
