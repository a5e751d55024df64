"""`python -m benchmarks`: measure, show, and after a whole run write report.md and package.md."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import measure, package, report, table


def main() -> None:
    arguments = _parser().parse_args()
    setting = measure.Setting(
        peers=arguments.peers,
        device=arguments.device,
        threads=arguments.threads,
        clock=arguments.clock,
        rounds=arguments.rounds or (3 if arguments.quick else 7),
        budget=0.02 if arguments.quick else 0.1,
        largest=100_000 if arguments.quick else 1_000_000,
    )
    wanted = set(arguments.only.split(",")) if arguments.only else None
    items: list[table.Case | table.Growth] = [
        item
        for item in (*table.cases(), *table.growths())
        if (wanted is None or item.code in wanted) and arguments.match in item.name and measure.fits(item, setting)
    ]
    items.sort(key=lambda item: report.place(item.code))
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    bench = measure.Bench(setting)
    for library, reason in bench.missing.items():
        console.print(f"{library}: {reason}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("measuring", total=len(items))

            def done(result: measure.Result) -> None:
                progress.update(task, advance=1, description=f"{result.code} {result.name}"[:40])

            results = measure.measured(bench, items, done)
    finally:
        bench.close()
    report.show(console, results)
    whole = not (arguments.only or arguments.match or arguments.quick)
    page = arguments.report or (measure.HERE / "report.md" if whole else None)
    if page:
        before = page.read_text() if page.exists() and not whole else ""
        page.write_text(report.markdown(results, setting, bench.missing, before))
        console.print(f"written: {page}")
    if whole:
        package.PAGE.write_text(package.markdown(package.measured(setting.rounds), setting.rounds))
        console.print(f"written: {package.PAGE}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="P1,P5", help="codes of the cases to measure; all by default")
    parser.add_argument("--match", default="", metavar="TEXT", help="measure only cases whose name has TEXT in it")
    parser.add_argument("--quick", action="store_true", help="few rounds, and nothing longer than 100,000 entries")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds in which the libraries take turns; 7, quick 3")
    parser.add_argument("--peers", type=Path, metavar="VENV", help="environment with the libraries to compare with")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="threads of every process on the CPU")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, for a busy machine"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="where to write the results, beside those of other cases that are there; a whole run writes report.md",
    )
    return parser


main()
