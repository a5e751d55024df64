"""The handbook: what the rule table says of each operation, as data that is read without torch.

`softfx explain` and `softfx rules` answer from here at once. `rules.json` is made of the table by
`softfx.report.rule_pages` (`UPDATE_DOCS=1 pytest tests/test_docs.py` writes it, and the same test holds it to the
table). `entries` reads it, `text` and `terminal` show it.
"""
