"""Spreads measured again in training loops: by hand, on average, and by the callbacks of Lightning and transformers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.packages import imported


class Columns(nn.Module):
    """Thresholds of columns in units of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.thresholds = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.thresholds).float().mean(-1)


def batch(scale: float = 1.0, count: int = 40) -> Tensor:
    return scale * torch.linspace(-1.0, 1.0, 3 * count).reshape(count, 3)


def softened(policy: Any = None) -> Any:
    return softfx.soften(Columns(), policy, example_inputs=(batch(),))


def softness_of(soft: Any) -> float:
    return float(soft.report.sites[0].softness)


@pytest.mark.parametrize("given", [True, False], ids=["on the batch", "in the loop's call"])
def test_a_loop_measures_at_the_first_step_and_every_few_steps_after_it(given: bool) -> None:
    soft = softened()
    unit, again, seen = softness_of(soft), softfx.Remeasure(soft, every=3), []
    for step in range(7):
        x = batch(1.0 + step)
        again.step(*((x,) if given else ()))
        soft(x)
        seen.append(round(softness_of(soft) / unit, 4))
    assert seen == [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 7.0]


def test_a_moving_average_keeps_a_part_of_each_thresholds_spread() -> None:
    soft = softened()
    unit, again = soft._softfx.sites[0].softness, softfx.Remeasure(soft, every=1, momentum=0.75)
    again.step(batch(5.0))
    assert torch.allclose(soft._softfx.sites[0].softness, 2.0 * unit)  # 0.75 * 1 + 0.25 * 5
    again.step(batch(2.0))
    assert torch.allclose(soft._softfx.sites[0].softness, 2.0 * unit)


def test_a_loops_iterations_count_once_in_a_moving_average() -> None:
    def twice(x: Tensor) -> Tensor:
        total = x.new_zeros(())
        for factor in (1.0, 3.0):
            total = total + (factor * x > 0.1).float().mean()
        return total

    x = torch.linspace(-1.0, 1.0, 50)
    soft = softfx.soften(twice, example_inputs=(x,))
    before, again = softness_of(soft), softfx.Remeasure(soft, momentum=0.5)
    again.step(3.0 * x)
    assert softness_of(soft) == pytest.approx(2.0 * before, rel=1e-5)


def test_the_values_and_the_gradient_of_the_call_that_measures_are_those_of_a_call_after_it() -> None:
    soft, x = softened(), batch(9.0)
    softfx.Remeasure(soft).step()
    first, second = (soft(x) for _ in range(2))
    assert torch.equal(first, second)
    gradients = [torch.autograd.grad(result.sum(), soft.thresholds)[0] for result in (first, second)]
    assert torch.equal(*gradients)


def test_a_compiled_model_measures_on_the_batch_that_it_is_given() -> None:
    soft = softened()
    unit, compiled = softness_of(soft), torch.compile(soft, backend="eager")
    again = softfx.Remeasure(soft, every=1)
    compiled(batch())
    again.step(batch(6.0))
    compiled(batch(6.0)).sum().backward()
    assert softness_of(soft) == pytest.approx(6.0 * unit, rel=1e-5)


def test_branches_that_are_turned_do_not_hinder() -> None:
    def program(x: Tensor, t: Tensor) -> Tensor:
        above = (x > t).float().mean()
        return above * 2.0 if bool(t > 0.5) else above

    x, t = torch.linspace(-1.0, 1.0, 50), torch.tensor(0.4, requires_grad=True)
    soft = softfx.soften(program, "lifted", example_inputs=(x, t))
    (before,) = (site.softness for site in soft.report.sites if site.op == "gt" and site.action == "straight_through")
    softfx.Remeasure(soft).step()
    soft(10.0 * x, t)
    (after,) = (site.softness for site in soft.report.sites if site.op == "gt" and site.action == "straight_through")
    assert after == pytest.approx(10.0 * before, rel=0.1)


def test_the_state_is_the_step_and_the_spreads() -> None:
    soft = softened()
    again = softfx.Remeasure(soft, every=2)
    again.step(batch(8.0))
    other = softened()
    resumed = softfx.Remeasure(other, every=2)
    resumed.load_state_dict(again.state_dict())
    for name in ("softness", "spread"):
        one, other_one = (getattr(each._softfx.sites[0], name) for each in (soft, other))
        torch.testing.assert_close(getattr(other_one, "value", other_one), getattr(one, "value", one))
    assert resumed.last_step == 0
    assert "0.2 x spreads" in other.report.sites[0].reason


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"every": 2.0}, {"every": True}, {"momentum": 1.0}, {"momentum": -0.1}]
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(softfx.ScheduleError, match=f"Remeasure: {next(iter(wrong))}="):
        softfx.Remeasure(softened(), **wrong)


def test_a_model_without_spreads_is_refused() -> None:
    with pytest.raises(softfx.PolicyError, match="Remeasure: no site has a softness that is relative to the data"):
        softfx.Remeasure(softened({"default": {"softness": 0.1}}))


# -- training loops ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the package, about workers and loggers
@pytest.mark.parametrize("inputs", [None, lambda batch: (batch,)], ids=["in the loop's call", "on the batch"])
def test_lightning_measures_on_its_batches_and_saves_the_spreads(tmp_path: Path, inputs: Any) -> None:
    lightning = imported("lightning.pytorch")
    soft = softened()
    seen: list[float] = []

    class Fit(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = soft

        def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
            loss = self.model(x).mean()
            seen.append(softness_of(soft))
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.0)

    unit = softness_of(soft)
    callback = softfx.callbacks.LightningRemeasure(softfx.Remeasure(soft, every=2), inputs)
    saver = lightning.callbacks.ModelCheckpoint(tmp_path, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=[callback, saver], enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    batches = torch.cat([batch(scale) for scale in (2.0, 3.0, 4.0, 5.0)])
    trainer.fit(Fit(), torch.utils.data.DataLoader(batches, batch_size=40))  # type: ignore[arg-type]
    assert [round(softness / unit, 3) for softness in seen] == [2.0, 2.0, 4.0, 4.0]
    saved = torch.load(saver.last_model_path, weights_only=False)["callbacks"]["softfx.spreads"]
    assert saved["softness"] == softfx.softness_state(soft)


@pytest.mark.filterwarnings("ignore")  # of the package, about accelerators
def test_the_trainer_measures_in_its_calls_and_resumes_with_the_spreads(tmp_path: Path) -> None:
    transformers = imported("transformers")
    pytest.importorskip("accelerate")

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.soft, self.seen = softened(), []

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            loss = self.soft(x).mean()
            self.seen.append(softness_of(self.soft))
            return {"loss": loss}

    def run(resume: str | None) -> list[float]:
        model = Loss()
        unit = softness_of(model.soft)
        arguments = transformers.TrainingArguments(
            str(tmp_path), num_train_epochs=1, per_device_train_batch_size=40, use_cpu=True, report_to=[], save_steps=3,
            disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        callback = softfx.callbacks.TransformersRemeasure(softfx.Remeasure(model.soft, every=2))
        data = [{"x": row} for _ in range(5) for row in batch(7.0)]
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback])
        trainer.train(resume_from_checkpoint=resume)
        return [softness / unit for softness in model.seen]

    whole = run(None)
    assert all(softness > 3.0 for softness in whole)
    resumed = run(str(tmp_path / "checkpoint-3"))
    assert resumed[0] == pytest.approx(whole[3], rel=1e-5)


@pytest.mark.parametrize("name", ["LightningRemeasure", "TransformersRemeasure"])
def test_a_callback_copies_pickles_and_refuses_what_measures_nothing(name: str) -> None:
    imported("lightning.pytorch" if name.startswith("Lightning") else "transformers")
    made = getattr(softfx.callbacks, name)
    callback = made(softfx.Remeasure(softened()))
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert type(other) is type(callback)
        assert other.remeasure.every == 10
    with pytest.raises(softfx.ScheduleError, match=f"{name}.* measures nothing"):
        made(softened())
