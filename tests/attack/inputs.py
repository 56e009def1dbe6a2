"""What the attack does to a good tensor, by name."""

import numpy as np
import torch


def _fill(value):
    def change(x):
        x = x.clone()
        if x.numel():
            x.view(-1)[x.numel() // 2] = value
        return x

    return change


def _strided(x):
    return torch.stack([x, x], -1)[..., 0]


#: Name to what is done to a floating-point tensor ``[rows, columns]``.
FLOAT_KINDS = {
    "as it should be": lambda x: x,
    "not contiguous": _strided,
    "gradients on": lambda x: x.clone().requires_grad_(),
    "float64": lambda x: x.double(),
    "float16": lambda x: x.half(),
    "integers": lambda x: (4 * x).round().long(),
    "truth values": lambda x: x > 0.5,
    "one row": lambda x: x[:1],
    "no row": lambda x: x[:0],
    "one column": lambda x: x[..., :1],
    "no column": lambda x: x[..., :0],
    "one axis more": lambda x: x[None],
    "one axis less": lambda x: x[0],
    "a nan": _fill(torch.nan),
    "an infinity": _fill(torch.inf),
    "1e4": lambda x: 1e4 * x,
    "1e30": lambda x: 1e30 * x,
    "1e-30": lambda x: 1e-30 * x,
    "all equal": lambda x: torch.full_like(x, 0.5),
    "an array": lambda x: x.numpy(),
    "a list": lambda x: x.tolist(),
    "None": lambda _: None,
}
LABEL_KINDS = {
    "as it should be": lambda y: y,
    "not contiguous": lambda y: torch.stack([y, y], -1)[..., 0],
    "int32": lambda y: y.int(),
    "floats": lambda y: y.float(),
    "one class": lambda y: torch.zeros_like(y),
    "a negative class": lambda y: y - 1,
    "too few": lambda y: y[:-1],
    "no label": lambda y: y[:0],
    "one axis more": lambda y: y[None],
    "a list": lambda y: y.tolist(),
    "None": lambda _: None,
}
NUMBER_KINDS = {
    "as it should be": lambda n: n,
    "a numpy integer": lambda n: np.int64(n),
    "zero": lambda _: 0,
    "negative": lambda n: -n,
    "a fraction": lambda n: n + 0.5,
    "None": lambda _: None,
    "text": str,
}
