"""Kernels in the order of PyTorch, which errors recognise."""


def torch_order(
    name: str, shape: tuple[int, ...], c_in: int, c_out: int | None = None, *, transposed: bool = False
) -> str | None:
    """What to write in place of a kernel that is evidently in PyTorch's order; None for any other.

    Only for errors: a kernel whose shape fits is never refused.

    Args:
      name: the name of the kernel.
      shape: its shape, which does not fit.
      c_in, c_out: the channels that it should have; c_out may be unknown.
      transposed: whether it is the kernel of a transposed convolution, whose taps PyTorch counts backwards.

    Returns:
      The order, and the expression that converts it.
    """
    first, second, *size = shape
    found = (first, second) if transposed else (second, first)
    if found[0] != c_in or c_out not in (None, found[1]):
        return None
    # The last axes are the sides of a window, and the first ones are not.
    ours = shape[:-2]
    if len(set(size)) > 1 or (len(set(ours)) == 1 and ours[0] <= size[0]):
        return None
    axes = (*range(2, len(shape)), *((0, 1) if transposed else (1, 0)))
    converted, order = f"jnp.transpose({name}, {axes})", "[C_out, C_in, *K]"
    if transposed:
        converted, order = f"jnp.flip({converted}, {tuple(range(len(size)))})", "[C_in, C_out, *K]"
    return f"it looks like PyTorch's order {order}, write {converted}"
