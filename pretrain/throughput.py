"""From a step's seconds to tokens/s, FLOP/s and MFU, by the three rules."""

from __future__ import annotations

import torch
import torch.distributed as dist

from configs.schema.train import Model, Train
from pretrain.device import peak
from pretrain.flops import training_flops_per_token


class Meter:
    """Model FLOPs of a global batch against the peak of all devices of the run.

    peak: FLOP/s of one device and what it is called; on a CPU measured by all ranks at once, since they share its cores,
    and averaged. Collective when built.
    """

    def __init__(self, model: Model, vocab_size: int, train: Train, world_size: int, place: torch.device) -> None:
        self.flops = training_flops_per_token(model, train.seq_length, vocab_size)
        self.tokens = train.global_batch * train.seq_length
        self.world_size = world_size
        dist.barrier()
        found = peak(place, train.precision)
        self.peak_name = found.name if found else "unknown device"
        self.peak_flops: float | None = None
        if found is not None:
            mean = torch.tensor([found.flops / world_size], dtype=torch.float64, device=place)
            dist.all_reduce(mean)
            self.peak_flops = float(mean)

    def rates(self, seconds: float) -> dict[str, float]:
        """tokens_per_second (whole run), tflops_per_device (full attention), and MFU as fractions where a peak is known."""
        per_second = self.tokens / seconds
        per_device = per_second / self.world_size
        rates = {"tokens_per_second": per_second, "tflops_per_device": per_device * self.flops.full / 1e12}
        if self.peak_flops:
            share = per_device / self.peak_flops
            rates |= {
                "mfu": share * self.flops.full,
                "mfu_causal": share * self.flops.causal,
                "mfu_6n": share * self.flops.six_n,
            }
        return rates
