"""Figures as files for a paper: `<figure>.svg`, `.pdf` or `.png`, each beside its `.vl.json`, by vl-convert."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from ..runs.run_folder import RunFolder
from ..system.errors import StoreError
from ..system.steps import Hear, heard, unheard
from .charts.vega import Spec

FORMATS = ("svg", "pdf", "png")
WHAT_TO_INSTALL = "charts need vl-convert: pip install 'vl-convert-python>=1.9'"
_PIXELS_PER_INCH = 300


def vl_convert() -> ModuleType | None:
    """The module, or None where the extra `report` is not installed."""
    try:
        import vl_convert
    except ImportError:
        return None
    return vl_convert  # type: ignore[no-any-return, unused-ignore]


def write_figures(specs: Mapping[str, Spec], folder: Path, formats: Sequence[str], hear: Hear = unheard) -> list[Path]:
    """Write every figure by its name."""
    converter = vl_convert()
    if converter is None or not formats:
        return []
    written = []
    try:
        if folder.is_symlink():
            raise StoreError(
                f"{folder}: this is a link, which is not followed; write the page elsewhere with --page", file=folder
            )
        folder.mkdir(parents=True, exist_ok=True)
        for title, spec in heard(specs.items(), "figures drawn", len(specs), hear):
            name = "".join(c if c.isalnum() or c in "._-" else "_" for c in title)
            written.append(_write(folder / f"{name}.vl.json", json.dumps(spec, ensure_ascii=False, indent=1).encode()))
            written += [_write(folder / f"{name}.{form}", _drawn(converter, spec, form)) for form in formats]
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; check the folder", file=folder) from error
    return written


def _drawn(converter: ModuleType, spec: Spec, form: str) -> bytes:
    if form == "svg":
        return str(converter.vegalite_to_svg(spec)).encode()
    if form == "pdf":
        return bytes(converter.vegalite_to_pdf(spec))
    return bytes(converter.vegalite_to_png(spec, ppi=_PIXELS_PER_INCH))


def _write(path: Path, content: bytes) -> Path:
    RunFolder(path.parent).write(path.name, content)
    return path
