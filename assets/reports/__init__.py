"""Top floor: P&L, statistics, figures and the pages a person reads."""
