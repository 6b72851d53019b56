"""First floor: the limit order book, rebuilt order by order and cleaned."""
