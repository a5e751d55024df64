"""The public names of the report's formats, for those who make files of reports without the command line.

>>> import softfx, torch
>>> from softfx.formats.markdown import report_markdown
>>> def level(x):
...     return x.round()
>>> report_markdown(softfx.check(level, example_inputs=(torch.ones(2),))).splitlines()[0]
'# softfx report for `level`'
"""
