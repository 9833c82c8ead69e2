"""Hooks of MkDocs: pages from outside `docs/`, notebooks, generated pages, and links that lead to them."""

import sys
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

sys.path.insert(0, str(Path(__file__).parent))
from links import COPIED, OUTSIDE, ROOT, relinked, site_path
from reference_pages import reference_pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add all pages that are not Markdown files in `docs/`, and adapt all links to the site."""
    sources = {f"docs/{file.src_uri}": file for file in files.documentation_pages()}
    for source, page in OUTSIDE.items():
        sources[source] = File.generated(config, page, content=(ROOT / source).read_text())
    for path in sorted((ROOT / "docs").rglob("*.ipynb")):
        source = path.relative_to(ROOT).as_posix()
        text, images = notebook_page(path)
        sources[source] = File.generated(config, site_path(source), content=text)
        for name, image in images.items():
            files.append(
                File.generated(
                    config, (PurePosixPath(site_path(source)).parent / name).as_posix(), content=image
                )
            )
    for source, file in sources.items():
        if file.src_uri not in files.src_uris:
            files.append(file)
        file.content_string, copied = relinked(file.content_string, source)
        for target in copied:
            if COPIED + target not in files.src_uris:
                files.append(File.generated(config, COPIED + target, abs_src_path=str(ROOT / target)))
    files.append(File.generated(config, "site.css", abs_src_path=str(ROOT / "website/site.css")))
    for page, text in reference_pages().items():
        files.append(File.generated(config, page, content=text))
    return files


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as it is stored, as Markdown, and its pictures by name."""
    exporter = MarkdownExporter()
    text, resources = exporter.from_filename(str(path), resources={"output_files_dir": f"{path.stem}_files"})
    return text, resources["outputs"]
