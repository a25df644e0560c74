"""The layer list cut into stages under DeepSpeed's PipelineModule: pipeline degree above 1, ZeRO 1.

ZeRO-0 is run as ZeRO-1: DeepSpeed's clipping at ZeRO-0 leaves out the norms of later stages and counts a tied embedding
twice. The stages are cut where `pretrain.parallel.layout.stage_borders` says.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from deepspeed.pipe import LayerSpec, PipelineModule, TiedLayerSpec
from deepspeed.runtime.pipe.topology import PipeModelDataParallelTopology
from torch import Tensor, nn

from configs.schema.tree import Config
from pretrain.model.layers import Embedding, Head, Shape, layer_list
from pretrain.model.loss import summed_loss
from pretrain.optimizer import build_optimizer
from pretrain.parallel.engine import Engine, deepspeed_config
from pretrain.parallel.layout import Layout
from pretrain.parallel.runtime import Ranks

TIED = "embedding"


class StagedModel(PipelineModule):
    """This rank's stage of the layer list. `scale` multiplies each micro-batch's summed loss; set before every batch."""

    def __init__(self, shape: Shape, layout: Layout) -> None:
        self.layers = layer_list(shape)
        self.borders = layout.stages
        specs: list[Any] = [LayerSpec(layer.module, *layer.arguments) for layer in self.layers]
        if shape.model.tie_embeddings:
            specs[0] = TiedLayerSpec(TIED, Embedding, shape, tied_weight_attr="weight")
            # The last stage's copy is a head with a weight of its own, kept equal by summing both gradients.
            specs[-1] = TiedLayerSpec(TIED, Head, shape, False, tied_weight_attr="weight")
        topology = PipeModelDataParallelTopology(num_pp=layout.pp, num_mp=layout.tp, num_dp=layout.dp)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its layers
            super().__init__(layers=specs, topology=topology, loss_fn=self._loss)
        self.scale: Any = 1.0
        self.tied = shape.model.tie_embeddings

    def _partition_layers(self, method: str = "") -> None:
        stage = self._topo.get_coord(self.global_rank).pipe
        self.parts = list(self.borders)
        self._set_bounds(start=self.parts[stage], stop=self.parts[stage + 1])

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return summed_loss(logits, labels) * self.scale

    def named_layers(self) -> Iterator[tuple[str, nn.Module]]:
        """The layers of this stage under their names in the list."""
        names = [layer.name for layer in self.layers[self._local_start : self._local_stop]]
        return zip(names, self.forward_funcs, strict=True)


class PipelinedEngine(Engine):
    """Trains a StagedModel."""

    module: StagedModel

    def __init__(self, module: StagedModel, shape: Shape, config: Config, layout: Layout, ranks: Ranks) -> None:
        import deepspeed

        super().__init__(module, shape, config, layout, ranks)
        self.deepspeed, *_ = deepspeed.initialize(
            model=module, optimizer=build_optimizer(module, config.optimizer), config=deepspeed_config(config, layout)
        )

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return staged_parameters(self.module)

    def _micro_batches(self, batch: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([(micro[:, :-1].clamp(min=0), micro[:, 1:].contiguous()) for micro in batch])

    def _update(self, batch: Tensor, scale: Tensor) -> tuple[Tensor, Any]:
        self.module.scale = scale
        loss = self.deepspeed.train_batch(self._micro_batches(batch))  # mean over micro-batches and dp
        return loss, self.deepspeed.get_global_grad_norm()

    def _evaluate(self, batches: Tensor) -> Tensor:
        self.module.scale = float(len(batches) * self.layout.dp)  # undoes the mean
        return self.deepspeed.eval_batch(self._micro_batches(batches), num_micro_batches=len(batches))


def staged_parameters(module: StagedModel) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters of the stage under their names in the list; the last stage's tied copy is the embedding."""
    for name, layer in module.named_layers():
        for inner, parameter in layer.named_parameters():
            tied_copy = name == "head" and module.tied
            yield "embedding.tokens.weight" if tied_copy else f"{name}.{inner}", parameter
