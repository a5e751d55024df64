"""How a report is shown: in a terminal (`render`, the only file that knows rich), as text, markdown or sarif.

Each file is one format; `words` holds what they say in common. To add a format, write a function from a Report to a
string in a file of its own and name it in `softfx.cli.output`.
"""
