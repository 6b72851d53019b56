"""The indicator lab: what each indicator with each of its parameters is worth, alone and beside the others, on training sessions."""
