"""Fourth floor: the exchange simulator, the quoting policy and its tuning."""
