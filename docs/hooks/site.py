"""What mkdocs asks for while it builds the site: the generated pages, and the pictures that pages have commands for."""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))

from docs.hooks.blocks import pictures
from docs.hooks.pages import BROUGHT, generated, led


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, then the pictures that all pages name."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    for page in list(files.documentation_pages()):
        for name, content in pictures(page.content_string):
            files.append(File.generated(config, posixpath.join(posixpath.dirname(page.src_uri), name), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the pages that the site has of those files."""
    written = page.file.generated_by is None and page.file.src_uri not in BROUGHT
    return led(markdown, page.file.src_uri, f"docs/{page.file.src_uri}") if written else markdown
