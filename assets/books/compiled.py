"""How this floor's kernels are compiled with numba."""

from numba import njit

kernel = njit(cache=True, _nrt=False)
"""Compiles a function that only works on arrays it is given and allocates none.

Without numba's run-time for owned memory (`_nrt`) nothing is reference-counted: passing a tuple of arrays
to a function, or taking an array out of it, costs nothing, where each would cost an atomic increment and
decrement. Measured on the rebuild of the real ES session: 21 against 3 million records a second. A kernel that
does allocate is refused by the compiler.
"""
