"""A record of its own for the time of a loop.

A record in an array may be written through any other pointer as far as the compiler knows, so that a loop which adds to it
loads and stores it at each turn, and the sum waits for memory. A copy on the stack, of which nobody else has the address, it keeps
in registers. numba has no word for that; these two are it.
"""

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic
def borrow(_context: Any, record: Any) -> Any:
    """A copy of the record on the stack of the caller."""

    def make(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        copy = cgutils.alloca_once(builder, context.get_data_type(record))
        cgutils.raw_memcpy(builder, copy, args[0], context.get_constant(types.intp, record.size), 1)
        return copy

    return record(record), make


@intrinsic
def give_back(_context: Any, record: Any, copy: Any) -> Any:
    """Write the copy over the record that it was made of."""

    def make(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        cgutils.raw_memcpy(builder, args[0], args[1], context.get_constant(types.intp, record.size), 1)
        return context.get_dummy_value()

    return types.void(record, copy), make
