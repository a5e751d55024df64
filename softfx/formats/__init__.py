"""How a report is shown where there is no terminal: text, markdown, sarif.

Each file is one format, a function from a Report to a string; `words` holds what they (and `softfx.formats.render`,
the terminal) say in common. To add a format, write such a file and name it in `softfx.cli.output`.
"""
