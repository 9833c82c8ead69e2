"""Operations that numba lacks: minimum and maximum over vector lanes, and memory prefetching."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

_FLAGS = ("nnan", "nsz")


def _smaller(context: Any, x: Any, y: Any) -> Any:
    """Return the smaller of two float64 numbers that are not NaN.

    Numba's own minimum cannot be vectorized, because of NaN and the sign of zero. Nothing else is relaxed:
    the arithmetic of a single value is never reordered or fused, so equal pairs stay exactly equal.
    """
    return types.float64(types.float64, types.float64), _selecting("<")


def _greater(context: Any, x: Any, y: Any) -> Any:
    """Return the greater of two float64 numbers that are not NaN."""
    return types.float64(types.float64, types.float64), _selecting(">")


def _selecting(sign: str) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        is_first = builder.fcmp_ordered(sign, x, y, flags=_FLAGS)
        return builder.select(is_first, x, y, flags=_FLAGS)

    return generate


def _fetch(context: Any, array: Any, place: Any) -> Any:
    """Prefetch the memory around an array element; harmless outside the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", (byte,), ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        # for reading and writing, into the nearest cache, as data
        builder.call(hint, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, place), generate


# numba's decorator has the signature of the code generator, not of the function that kernels call
smaller: Any = intrinsic(_smaller)
greater: Any = intrinsic(_greater)
fetch: Any = intrinsic(_fetch)
