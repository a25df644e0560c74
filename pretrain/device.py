"""The peak that MFU is a share of: a datasheet's for known accelerators, a measured one, named so, for a CPU."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MATMUL_SIZE = 1024
MEASURE_SECONDS = 0.5


@dataclass(frozen=True)
class Peak:
    """flops: FLOP/s of one device (or one process on a CPU). name: what it is called beside a percentage."""

    flops: float
    name: str
    measured: bool


@dataclass(frozen=True)
class Known:
    """A row of the table. pattern: of the device's name as torch gives it. TFLOP/s, dense (no sparsity), at boost clock.

    fp32: outside the tensor cores; tf32: what float32 matmuls reach once TF32 is allowed.
    """

    pattern: str
    bf16: float
    tf32: float
    fp32: float
    source: str


# The first row that matches counts. Datasheets print tensor-core figures with 2:4 sparsity; these are half of those.
TABLE = (
    Known(r"\bGB200\b", 2500.0, 1250.0, 80.0, "NVIDIA GB200 NVL72 datasheet"),
    Known(r"\bB200\b", 2250.0, 1125.0, 75.0, "NVIDIA DGX B200 datasheet"),
    Known(r"\bH[12]00 NVL\b", 835.5, 417.5, 60.0, "NVIDIA H100 NVL and H200 NVL datasheets"),
    Known(r"\bH[18]00 PCIe\b", 756.0, 378.0, 51.2, "NVIDIA H100 architecture whitepaper, table 2 (PCIe)"),
    Known(r"\b(H100|H200|H800|GH200)\b", 989.4, 494.7, 66.9, "NVIDIA H100 architecture whitepaper, table 2 (SXM5)"),
    Known(r"\bA[18]00\b", 312.0, 156.0, 19.5, "NVIDIA A100 architecture whitepaper, table 1"),
    Known(r"\bL40S\b", 362.05, 183.0, 91.6, "NVIDIA L40S datasheet"),
    Known(r"\bL4\b", 121.0, 60.0, 30.3, "NVIDIA L4 datasheet"),
    Known(r"\bA40\b", 149.7, 74.8, 37.4, "NVIDIA A40 datasheet"),
    Known(r"\bA10\b", 125.0, 62.5, 31.2, "NVIDIA A10 datasheet"),
    Known(r"\bRTX A6000\b", 154.8, 77.4, 38.7, "NVIDIA RTX A6000 datasheet"),
    Known(r"\bRTX 4090$", 165.2, 82.6, 82.6, "NVIDIA Ada GPU architecture whitepaper, appendix A"),
    Known(r"\bRTX 3090$", 71.0, 35.6, 35.6, "NVIDIA GA102 GPU architecture whitepaper, table 9"),
    Known(r"\bMI300X\b", 1307.4, 653.7, 163.4, "AMD Instinct MI300X datasheet"),
)


def known_peak(device_name: str, kind: str) -> Peak | None:
    """The table's dense peak for `kind` (bf16, tf32, fp32); None for a device, or a slice of one, that it does not hold."""
    if re.search(r"\bMIG\b", device_name):  # a part of the device, and its share of the peak is nowhere stated
        return None
    for known in TABLE:
        if re.search(known.pattern, device_name):
            flops: float = getattr(known, kind) * 1e12
            return Peak(flops, f"{device_name} dense {kind} peak ({flops / 1e12:g} TFLOP/s, {known.source})", False)
    return None


def peak(device: torch.device | str, precision: str) -> Peak | None:
    """Peak of one device for `precision` (fp32 or bf16), as this process uses it; None where nothing is known.

    On a CPU it is measured now, which takes about half a second: processes that share its cores should measure at the
    same time, since that is how they will run.
    """
    import torch

    device = torch.device(device)
    if device.type == "cpu":
        return measure_cpu(precision)
    if device.type != "cuda":
        return None
    tf32 = precision == "fp32" and torch.get_float32_matmul_precision() != "highest"
    return known_peak(torch.cuda.get_device_name(device), "tf32" if tf32 else precision)


def measure_cpu(precision: str, threads: int | None = None, seconds: float = MEASURE_SECONDS) -> Peak:
    """The fastest of the square matmuls that fit into `seconds`, on `threads` threads (default: as torch is set now)."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        used = torch.get_num_threads()
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.randn(MATMUL_SIZE, MATMUL_SIZE, generator=generator).to(dtype) for _ in range(2))
        out = torch.empty(MATMUL_SIZE, MATMUL_SIZE, dtype=dtype)
        torch.mm(a, b, out=out)
        best, started = float("inf"), time.perf_counter()
        while time.perf_counter() - started < seconds:
            begin = time.perf_counter()
            torch.mm(a, b, out=out)
            best = min(best, time.perf_counter() - begin)
    finally:
        torch.set_num_threads(before)
    plural = "" if used == 1 else "s"
    name = f"measured {precision} matmul peak of this process ({used} CPU thread{plural})"
    return Peak(2 * MATMUL_SIZE**3 / best, name, True)
