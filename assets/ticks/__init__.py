"""Ground floor: raw records exactly as they arrived."""
