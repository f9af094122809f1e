"""What a valid experiment says but hardly means: mistakes that would pass in silence, with what to write instead.

Nothing here is an error: `check` and the end of `run` tell each once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from ..mechanism.truncation import OFF
from .experiment import Experiment
from .resolved.agent import Agent
from .templates.prompts import names_in

_BRACES = re.compile(r"(?<!\{)\$?\{ *(query|agent) *\}(?!\})")
_ESCAPE = re.compile(r"\\[ntr]")
_QUOTED = re.compile(r"[“„”«»‘‚’].*[“”«»‘’]", re.DOTALL)
_CUT = re.compile(r"\s+#(?=\S).*")
_KEYS_OF_TEXTS = ("prompt", "system", "user", "content", "queries", "query", "mentions", "stop")
_SHOWN = 40


def advice(experiment: Experiment) -> list[str]:
    """Each doubt once, in the order of the file's sections."""
    found = [*_on_comments(experiment), *_on_quotes(experiment)]
    for agent in experiment.agents:
        found += [
            f"agent {agent.name}: {doubt}"
            for doubt in (*_on_prompts(agent, experiment), *_on_mentions(agent, experiment))
        ]
    found += [*_on_auction(experiment), *_on_judges(experiment)]
    return list(dict.fromkeys(found))


def _templates(agent: Agent) -> list[str]:
    prompt = [] if agent.prompt is None else [agent.prompt]
    return prompt + [text for _, text in agent.messages]


def _on_prompts(agent: Agent, experiment: Experiment) -> Iterator[str]:
    templates, n_queries = _templates(agent), len(experiment.queries)
    known = {"query", *(name for query in experiment.queries for name in experiment.columns_of(query))}
    if templates and n_queries > 1 and not any(known & names_in(text) for text in templates):
        yield f"its prompt is the same for all {n_queries} queries; write {{{{ query }}}} where the query belongs"
    for match in filter(None, map(_BRACES.search, templates)):
        yield f"{match.group()} in its prompt is plain text; write {{{{ {match[1]} }}}}"
    if agent.prompt is not None and agent.prompt != agent.prompt.rstrip():
        yield "its prompt ends with white space, after which models write otherwise; end it with the last word (`|-`)"


def _on_mentions(agent: Agent, experiment: Experiment) -> Iterator[str]:
    auction = experiment.auction
    spelled = None if agent.distributions is None else _characters(experiment)
    for phrase in agent.mentions if agent.mentions != (agent.name,) else ():  # the name is there by itself
        stops = [stop for stop in auction.stop if stop in phrase]
        n_words = len(phrase.split())
        if stops:
            yield f"no text can mention {phrase!r}, for {stops[0]!r} ends it; change auction.stop or the phrase"
        elif auction.alphabet == "tokens" and spelled is None and n_words > auction.max_draws:
            yield f"no text can mention {phrase!r}: it has {n_words} words, auction.max_tokens is {auction.max_draws}"
        elif spelled is not None and set(phrase.casefold()) - spelled:
            yield f"no text can mention {phrase!r}, which no tokens of the tables spell; write `mentions` as they do"


def _characters(experiment: Experiment) -> set[str]:
    """What texts of tables consist of; tokens are joined by blanks."""
    tables = (table for agent in experiment.agents for table in (agent.distributions or {}).values())
    return {" ", *(character for table in tables for token in table for character in token.casefold())}


def _on_auction(experiment: Experiment) -> Iterator[str]:
    auction = experiment.auction
    for stop in filter(_ESCAPE.search, auction.stop):
        yield f'auction.stop: {stop} is a backslash and a letter; write it in double quotes, as in "\\n"'
    cut = [agent.name for agent in experiment.agents if agent.truncation != OFF]
    if "log_linear" in auction.aggregation and len(cut) > 1:
        yield (
            "log_linear draws tokens that every agent may say; top_k, top_p and min_p may leave "
            f"{' and '.join(cut)} none in common, and such a text fails; leave more tokens, or aggregate by linear"
        )
    if auction.max_draws == 1 and any(agent.model for agent in experiment.agents):
        yield f"every text is cut after its first {auction.counted.removesuffix('s')}; raise the limit in `auction`"


def _on_quotes(experiment: Experiment) -> Iterator[str]:
    named = [(f"query {k}", query) for k, query in enumerate(experiment.queries, start=1)]
    for agent in experiment.agents:
        texts = (agent.name, *agent.mentions, *_templates(agent))
        named += [(f"agent {agent.name}", text) for text in texts]
    named += [("auction.stop", stop) for stop in experiment.auction.stop]
    for place, text in named:
        if _QUOTED.fullmatch(text):
            yield f'{place}: the quotes of {text[:_SHOWN]} are part of the text; write straight ones, as in "..."'


def _on_judges(experiment: Experiment) -> Iterator[str]:
    for name, judge in experiment.judges.items():
        own = [agent.name for agent in experiment.agents if agent.model == judge.model]
        if own:
            yield f"judges.{name}: its model is that of {' and '.join(own)}, who then judge their own texts"


def _on_comments(experiment: Experiment) -> Iterator[str]:
    """Texts that a # ends, which YAML takes for a comment though no blank follows it."""
    text = experiment.source.decode("utf-8", "replace")
    if not re.search(r"\s#\S", text):
        return
    lines, key, is_key = text.splitlines(), "", False
    for token in yaml.scan(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(token, yaml.ScalarToken):
            rest = lines[token.end_mark.line][token.end_mark.column :] if token.end_mark.line < len(lines) else ""
            if is_key:
                key = token.value
            elif token.plain and key in _KEYS_OF_TEXTS and (cut := _CUT.match(rest)):
                place = f"{experiment.path}:{token.start_mark.line + 1}"
                yield f"{place}: {key} ends before {cut.group().strip()[:_SHOWN]!r}, a comment; put it all in quotes"
        is_key = isinstance(token, yaml.KeyToken)
