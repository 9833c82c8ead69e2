"""Operations that numba lacks: minimum and maximum over vector lanes, prefetching, operations on bits."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.cpython.unsafe import numbers
from numba.extending import intrinsic

_FLAGS = ("nnan", "nsz")

CARRY = 32
"""Place after those of all bits of a count, for the carry of `add_sixteen`."""


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


def _fetch(context: Any, array: Any, position: Any) -> Any:
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

    return types.void(array, position), generate


def _add_sixteen(context: Any, planes: Any, rows: Any, at: Any) -> Any:
    """Add sixteen rows of 512 bits to 512 counts; return nothing.

    Bit `k` of every count is in `planes[8 * k : 8 * k + 8]`, uint64; the rows start at `rows[at[0]]`, …,
    `rows[at[15]]`. Only bits 0 to 3 are updated; the carry, which the caller must add to bit 4, is written in
    the place of bit `CARRY`. Rows are added with full adders (Harley and Seal; Muła, Kurz and Lemire 2018).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        words = ir.VectorType(word, 8)
        planes_, rows_, at_ = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        )

        def position(data: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(data, [index]), words.as_pointer())

        def load(data: Any, index: Any) -> Any:
            return builder.load(position(data, index), align=8)

        def add(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
            either = builder.xor(a, b)
            carry = builder.or_(builder.and_(a, b), builder.and_(either, c))
            return builder.xor(either, c), carry

        sums = [load(planes_.data, word(8 * bit)) for bit in range(4)]
        waiting: list[list[Any]] = [[], [], [], []]  # carries into each bit
        carry = None
        for row in range(16):
            new = load(rows_.data, builder.load(builder.gep(at_.data, [word(row)])))
            for bit in range(4):
                waiting[bit].append(new)
                if len(waiting[bit]) < 2:
                    break
                sums[bit], new = add(sums[bit], *waiting[bit])
                waiting[bit].clear()
            else:
                carry = new
        for bit in range(4):
            builder.store(sums[bit], position(planes_.data, word(8 * bit)), align=8)
        builder.store(carry, position(planes_.data, word(8 * CARRY)), align=8)
        return context.get_dummy_value()

    return types.void(planes, rows, at), generate


def _count_ones(context: Any, word: Any) -> Any:
    """Return the number of bits that are set in a whole number, in the same type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), generate


# numba's decorator has the signature of the code generator, not of the function that kernels call
smaller: Any = intrinsic(_smaller)
greater: Any = intrinsic(_greater)
fetch: Any = intrinsic(_fetch)
add_sixteen: Any = intrinsic(_add_sixteen)
count_ones: Any = intrinsic(_count_ones)
trailing_zeros: Any = numbers.trailing_zeros
