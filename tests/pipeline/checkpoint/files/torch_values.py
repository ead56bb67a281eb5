"""Makes the files beside it with PyTorch, or compares two files of torch.save value by value:

    python torch_values.py             writes torch_values.pth, torch_values.json, legacy.pth, module.pth, os_system.pth
    python torch_values.py A.pth B.pth compares, with torch.load's defaults (weights_only=True)
"""
import collections
import json
import os
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent


def values():
    torch.manual_seed(0)
    big = torch.randn(7, 11)
    return {
        "transposed": big.t(),
        "strided": big[2:5, 1::3],
        "expanded": torch.arange(3.0).expand(2, 3),
        "f16": torch.randn(5).half(),
        "bf16": torch.randn(2, 3).bfloat16(),
        "f64": torch.randn(3, dtype=torch.float64),
        "i64": torch.tensor([1, -2, 2**40]),
        "i32": torch.tensor([[1, -2]], dtype=torch.int32),
        "i16": torch.tensor([300, -2], dtype=torch.int16),
        "i8": torch.tensor([100, -2], dtype=torch.int8),
        "u8": torch.tensor([1, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "state_dict": torch.nn.Linear(3, 4).state_dict(),
        "ordered": collections.OrderedDict(a=1, b=None),
        "list": [1, 2.5, "x", None, True],
        "tuple": (1, "ä"),
        "large": 2**40,
        "negative": -5,
        7: "number as key",
    }


def flat(x):
    if isinstance(x, torch.Tensor):
        return {"shape": list(x.shape), "dtype": str(x.dtype), "data": x.detach().double().reshape(-1).tolist()}
    if isinstance(x, dict):
        return {"dict": [[k, flat(y)] for k, y in x.items()]}
    return [flat(y) for y in x] if isinstance(x, (list, tuple)) else x


class OsSystem:
    def __reduce__(self):
        return (os.system, ("echo the pickle was executed",))


def make():
    torch.save(values(), HERE / "torch_values.pth")
    (HERE / "torch_values.json").write_text(json.dumps(flat(values()), ensure_ascii=False))
    torch.save({"w": torch.ones(2)}, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(1, 1), HERE / "module.pth")
    torch.save({"x": OsSystem()}, HERE / "os_system.pth")


def compare(x, y, place):
    if isinstance(x, torch.Tensor):
        assert x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y), place
    elif isinstance(x, dict):
        assert list(x) == list(y), (place, list(x), list(y))
        for key in x:
            compare(x[key], y[key], f"{place}/{key}")
    elif isinstance(x, (list, tuple)):
        assert len(x) == len(y), place
        for i, (a, b) in enumerate(zip(x, y)):
            compare(a, b, f"{place}/{i}")
    else:
        assert x == y and type(x) is type(y), (place, x, y)


if len(sys.argv) == 3:
    compare(torch.load(sys.argv[1]), torch.load(sys.argv[2]), "")
    print(f"equal, read by torch {torch.__version__}")
else:
    make()
