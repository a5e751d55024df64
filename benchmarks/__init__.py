"""Speed and memory, measured beside torch and beside the published libraries: `python -m benchmarks --help`.

table.py says what is measured and against what; operations.py how a call is made; worker.py is the process that makes
it; measure.py runs the workers in turns; report.py writes report.md. To add a case: one line in table.py.
"""
