"""Training loops of other packages as processes that die: `python -m tests.softfx.training.loops LOOP FOLDER PHASE`.

PHASE "killed" trains, writes a checkpoint after step `SAVED`, goes on, and kills itself at step `DIES`. PHASE "resumed"
continues from that checkpoint, and then trains once more without a break in the same process. Each step is a line of
JSON in FOLDER: the loss, the softness and every parameter before the step. To add a loop, write a function that is
given a `Run` and put it into `LOOPS`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

import softfx
from tests.packages import imported

STEPS, SAVED, DIES, BATCH = 12, 5, 7, 4  # three epochs of four steps; the checkpoint lies within the second


class Routed(nn.Module):
    """Two experts by the best of their scores, and a rounded result: nothing of the router has a gradient by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.experts = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.scores(x).topk(2, dim=-1).indices
        return self.experts(x).gather(-1, chosen).mul(4).round().sum(-1)


@dataclass
class Run:
    """One training run: where it writes, and what it continues from."""

    folder: Path
    log: Path
    dies: bool = False
    resume: str | None = None

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        x = torch.randn(BATCH, 3)
        self.soft: Any = softfx.soften(Routed(), example_inputs=(x,))
        self.schedule = softfx.ExponentialSoftness(self.soft, start=1.0, end=0.05, total_iters=STEPS)

    def data(self) -> list[dict[str, Tensor]]:
        rows = torch.randn(STEPS // 3 * BATCH, 3, generator=torch.Generator().manual_seed(1))
        return [{"x": row, "y": row.sum().mul(3).round()} for row in rows]

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.soft.parameters(), lr=0.05)

    def loss(self, step: int, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a step, written down with all that it was computed with."""
        if self.dies and step == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        loss: Tensor = (self.soft(x) - y).square().mean()
        record = {
            "step": step,
            "loss": loss.item(),
            "softness": [site.softness for site in self.soft.report.sites],
            "parameters": [parameter.tolist() for parameter in self.soft.parameters()],
        }
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return loss


def lightning(run: Run) -> None:
    """The Trainer of Lightning, whose checkpoints hold the state of callbacks."""
    package = imported("lightning.pytorch")

    class Module(package.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = run.soft

        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
            # Lightning begins a loader anew when it resumes within an epoch, unless the loader has a state itself.
            step = self.trainer.global_step
            batch = default_collate(run.data()[BATCH * step % len(run.data()) :][:BATCH])
            return run.loss(step, batch["x"], batch["y"])

        def configure_optimizers(self) -> Any:
            return run.optimizer()

    trainer = package.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.folder,
        callbacks=[
            softfx.callbacks.LightningSoftness(run.schedule, "step"),
            package.callbacks.ModelCheckpoint(run.folder, filename="{step}", every_n_train_steps=SAVED, save_top_k=-1),
        ],
    )
    path = run.resume and str(next(Path(run.resume).glob(f"step={SAVED}.ckpt")))
    trainer.fit(Module(), DataLoader(run.data(), batch_size=BATCH), ckpt_path=path)  # type: ignore[arg-type]


def transformers(run: Run) -> None:
    """The Trainer of transformers, in batches of an order that it draws."""
    package = imported("transformers")

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = run.soft

        def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"loss": run.loss(trainer.state.global_step, x, y)}

    arguments = package.TrainingArguments(
        str(run.folder),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        report_to=[],
        save_steps=SAVED,
        disable_tqdm=True,
        learning_rate=0.05,
        remove_unused_columns=False,
    )
    callback = softfx.callbacks.TransformersSoftness(run.schedule, "step")
    trainer = package.Trainer(model=Loss(), args=arguments, train_dataset=run.data(), callbacks=[callback])
    trainer.train(resume_from_checkpoint=run.resume and f"{run.resume}/checkpoint-{SAVED}")


def accelerate(run: Run) -> None:
    """A loop of one's own on accelerate, in which the schedule is registered beside the optimizer."""
    package = imported("accelerate")
    accelerator = package.Accelerator(cpu=True)
    loader = DataLoader(run.data(), batch_size=BATCH)  # type: ignore[arg-type, var-annotated]
    _, optimizer, loader = accelerator.prepare(run.soft, run.optimizer(), loader)
    accelerator.register_for_checkpointing(run.schedule)
    done = 0
    if run.resume:
        accelerator.load_state(run.resume)
        done = SAVED
    for step in range(done, STEPS):
        batch = list(loader)[step % len(loader)]
        accelerator.backward(run.loss(step, batch["x"], batch["y"]))
        optimizer.step()
        optimizer.zero_grad()
        run.schedule.step()
        if step + 1 == SAVED:
            accelerator.save_state(str(run.folder))


LOOPS: dict[str, Callable[[Run], None]] = {
    "lightning": lightning,
    "transformers": transformers,
    "accelerate": accelerate,
}


def main(loop: str, folder: Path, phase: str) -> None:
    if phase == "killed":
        LOOPS[loop](Run(folder / "killed", folder / "killed.jsonl", dies=True))
    else:
        LOOPS[loop](Run(folder / "resumed", folder / "resumed.jsonl", resume=str(folder / "killed")))
        LOOPS[loop](Run(folder / "unbroken", folder / "unbroken.jsonl"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of the packages, about workers and accelerators
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
