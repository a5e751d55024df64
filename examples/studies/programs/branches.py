"""How far each way of tuning gets on one program of `branches`, by its name."""

import torch
from programs import deciders, searches, simulators
from tuning import Way, evolved, tuned

__all__ = ["ANNEALED", "FOUR", "NAMES", "TASKS", "measured"]

TASKS = {**simulators.TASKS, **searches.TASKS, **deciders.TASKS}
NAMES = tuple(TASKS)
ANNEALED, FOUR = Way("samples 1, annealed", 1, (1.0, 0.05)), Way("samples 4, annealed", 4, (1.0, 0.05))
WAYS = [Way("unsoftened"), Way("samples 0", 0), ANNEALED, FOUR]
SIGMAS = (0.02, 0.06, 0.2)
RATE = 0.02


def measured(name: str, seed: int, steps: int) -> dict[str, float]:
    """(value - best of a grid) / (value at the start - that), of the best iterate, by the way of tuning."""
    torch.set_num_threads(1)
    task = TASKS[name]
    best, _ = task.best_of_grid()
    start = task.cost(task.unit_start).item()

    def left(value: float) -> float:
        return (value - best) / (start - best)

    found = {way.name: left(tuned(task, way, steps, RATE, seed)) for way in WAYS}
    for sigma in SIGMAS:
        found[f"evolution {sigma}"] = left(evolved(task, steps * ANNEALED.passes, sigma, RATE, seed))
    found["evolution"] = min(found[f"evolution {sigma}"] for sigma in SIGMAS)
    found["evolution 0.06, four"] = left(evolved(task, steps * FOUR.passes, 0.06, RATE, seed))
    return found
