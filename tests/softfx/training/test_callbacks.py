"""Softness schedules in the training loops of Lightning and transformers, run for real on tiny models."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.packages import imported

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages, about workers, accelerators, progress bars

EPOCHS, BATCHES = 4, 3


class Steps(nn.Module):
    """A model whose own operation cuts the gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(self.linear(x))


def softened() -> Any:
    torch.manual_seed(0)
    return softfx.soften(Steps(), "smooth", example_inputs=(torch.randn(4, 2),))


def softness_of(soft: Any) -> float:
    return float(soft.report.sites[0].softness)


def data() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * BATCHES, 2, generator=generator)
    return [{"x": row, "y": row.sum().sign()[None]} for row in x.unbind()]


# -- Lightning ---------------------------------------------------------------------------------------------------------


def lightning_run(folder: Path, schedule: Any, interval: str, epochs: int, resume: str | None = None) -> Any:
    """Train; the softness that each batch was computed with, the trainer and the path of its last checkpoint."""
    lightning = imported("lightning.pytorch")
    callback = softfx.callbacks.LightningSoftness(schedule, interval)
    soft, seen = schedule.target, []

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = soft

        def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
            seen.append(softness_of(soft))
            return (self.model(batch["x"]) - batch["y"]).square().mean()

        def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
            self.log("loss", (self.model(batch["x"]) - batch["y"]).square().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    saver = lightning.callbacks.ModelCheckpoint(folder, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[callback, saver],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
    )
    loaders = [torch.utils.data.DataLoader(data(), batch_size=4) for _ in range(2)]  # type: ignore[arg-type]
    trainer.fit(Module(), *loaders, ckpt_path=resume)
    return seen, trainer, saver.last_model_path


@pytest.mark.parametrize(("interval", "repeats"), [("epoch", BATCHES), ("step", 1)])
def test_lightning_trains_with_the_softness_of_its_epoch_or_step(tmp_path: Path, interval: str, repeats: int) -> None:
    soft = softened()
    before = soft.linear.weight.clone()
    schedule = softfx.LinearSoftness(soft, 1.0, 0.1, 5)
    seen, trainer, _ = lightning_run(tmp_path, schedule, interval, EPOCHS)
    count = EPOCHS * BATCHES // repeats
    assert seen == [schedule.softness_at(k) for k in range(count) for _ in range(repeats)]
    assert float(trainer.callback_metrics["softness"]) == pytest.approx(softness_of(soft), rel=1e-6)  # float32
    assert not torch.equal(soft.linear.weight, before)


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_lightning_run_that_is_resumed_is_the_run_that_was_not_stopped(tmp_path: Path, interval: str) -> None:
    unbroken, _, _ = lightning_run(tmp_path / "a", softfx.LinearSoftness(softened(), 1.0, 0.1, 9), interval, EPOCHS)
    first, _, path = lightning_run(tmp_path / "b", softfx.LinearSoftness(softened(), 1.0, 0.1, 9), interval, 2)
    # Another end: what counts after resuming is what the checkpoint says.
    resumed = softfx.LinearSoftness(softened(), 1.0, 0.7, 9)
    second, _, _ = lightning_run(tmp_path / "c", resumed, interval, EPOCHS, resume=path)
    assert first + second == unbroken


# -- transformers ------------------------------------------------------------------------------------------------------


class Loss(nn.Module):
    """The softened model with the loss that the Trainer expects in its output."""

    def __init__(self, soft: nn.Module, seen: list[float]) -> None:
        super().__init__()
        self.soft, self.seen = soft, seen

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        self.seen.append(softness_of(self.soft))
        return {"loss": (self.soft(x) - y).square().mean()}


def transformers_run(folder: Path, schedule: Any, interval: str, epochs: int, resume: str | None = None) -> Any:
    """Train; the softness that each batch was computed with, and the trainer."""
    transformers = imported("transformers")
    pytest.importorskip("accelerate")
    seen: list[float] = []
    arguments = transformers.TrainingArguments(
        str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=4,
        use_cpu=True,
        report_to=[],
        logging_steps=1,
        save_steps=5,
        disable_tqdm=True,
        learning_rate=0.1,
        remove_unused_columns=False,
    )
    callback = softfx.callbacks.TransformersSoftness(schedule, interval)
    trainer = transformers.Trainer(
        model=Loss(schedule.target, seen), args=arguments, train_dataset=data(), callbacks=[callback]
    )
    trainer.train(resume_from_checkpoint=resume)
    return seen, trainer


@pytest.mark.parametrize(("interval", "repeats"), [("epoch", BATCHES), ("step", 1)])
def test_the_trainer_trains_with_the_softness_of_its_epoch_or_step(tmp_path: Path, interval: str, repeats: int) -> None:
    soft = softened()
    before = soft.linear.weight.clone()
    schedule = softfx.LinearSoftness(soft, 1.0, 0.1, 5)
    seen, trainer = transformers_run(tmp_path, schedule, interval, EPOCHS)
    assert seen == [schedule.softness_at(k) for k in range(EPOCHS * BATCHES // repeats) for _ in range(repeats)]
    assert [record["softness"] for record in trainer.state.log_history[:-1]] == seen
    assert not torch.equal(soft.linear.weight, before)


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_trainer_that_is_resumed_within_an_epoch_is_the_one_that_was_not_stopped(
    tmp_path: Path, interval: str
) -> None:
    unbroken, _ = transformers_run(tmp_path, softfx.LinearSoftness(softened(), 1.0, 0.1, 9), interval, EPOCHS)
    resumed = softfx.LinearSoftness(softened(), 1.0, 0.7, 9)  # another end: the checkpoint says what counts
    seen, _ = transformers_run(tmp_path, resumed, interval, EPOCHS, resume=str(tmp_path / "checkpoint-5"))
    assert seen == unbroken[5:]


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LightningSoftness", "TransformersSoftness"])
def test_a_callback_copies_and_pickles(name: str) -> None:
    imported("lightning.pytorch" if name == "LightningSoftness" else "transformers")
    callback = getattr(softfx.callbacks, name)(softfx.LinearSoftness(torch.tensor(0.0), 1.0, 0.1, 3))
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert type(other) is type(callback)
        assert other.schedule.state_dict() == callback.schedule.state_dict()


@pytest.mark.parametrize(
    ("name", "package", "modules"),
    [
        ("LightningSoftness", "lightning", ("lightning.pytorch", "pytorch_lightning")),
        ("TransformersSoftness", "transformers", ("transformers",)),
    ],
)
def test_a_missing_package_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, modules: tuple[str, ...]
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(vars(softfx.training.callbacks), name, raising=False)
    with pytest.raises(softfx.MissingPackageError, match=rf"is not installed.*callback of .*pip install {package}"):
        getattr(softfx.callbacks, name)


def test_mistakes_are_told() -> None:
    imported("transformers")
    schedule = softfx.LinearSoftness(torch.tensor(0.0), 1.0, 0.1, 3)
    with pytest.raises(
        softfx.ScheduleError, match=r"TransformersSoftness: unknown interval 'batch'\. Legal: epoch, step"
    ):
        softfx.callbacks.TransformersSoftness(schedule, "batch")
    with pytest.raises(softfx.ScheduleError, match="a Tensor is no softness schedule"):
        softfx.callbacks.TransformersSoftness(torch.tensor(0.0))
    with pytest.raises(AttributeError, match="no attribute 'Keras'"):
        _ = softfx.callbacks.Keras
