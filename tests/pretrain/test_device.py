"""A peak is the datasheet's for a device that is known, a measured one on a CPU, and none elsewhere."""

import pytest
import torch

from pretrain.device import TABLE, known_peak, measure_cpu, peak


@pytest.mark.parametrize(
    ("name", "kind", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H200", "bf16", 989.4),
        ("NVIDIA H200 NVL", "bf16", 835.5),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA GH200 480GB", "tf32", 494.7),
        ("NVIDIA A100-SXM4-80GB", "bf16", 312),
        ("NVIDIA A100-PCIE-40GB", "fp32", 19.5),
        ("NVIDIA L40S", "bf16", 362.05),
        ("NVIDIA L4", "bf16", 121),
        ("NVIDIA GB200", "bf16", 2500),
        ("NVIDIA GeForce RTX 4090", "bf16", 165.2),
        ("AMD Instinct MI300X", "bf16", 1307.4),
    ],
)
def test_known_devices_have_their_dense_peak(name, kind, tflops):
    found = known_peak(name, kind)
    assert found.flops == tflops * 1e12
    assert not found.measured and name in found.name and "dense" in found.name


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H20",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "Tesla V100-SXM2-16GB",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "",
    ],
)
def test_an_unknown_device_or_a_slice_of_one_has_none(name):
    assert known_peak(name, "bf16") is None


def test_every_row_names_its_source_and_orders_its_figures():
    for row in TABLE:
        assert row.source and row.bf16 > row.tf32 >= row.fp32


def test_a_cpus_peak_is_measured_and_named_so():
    found = measure_cpu("fp32", threads=1, seconds=0.05)
    assert found.measured and found.flops > 1e8
    assert found.name == "measured fp32 matmul peak of this process (1 CPU thread)"
    before = torch.get_num_threads()
    assert peak("cpu", "fp32").name.endswith(f"({before} CPU thread{'s' if before > 1 else ''})")
    assert torch.get_num_threads() == before


def test_a_device_without_figures_has_none():
    assert peak("meta", "bf16") is None
