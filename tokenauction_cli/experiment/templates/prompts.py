"""Prompts are Jinja2 templates, as a small language: text, {{ query }}, {{ agent }}, if, for, set and some filters.

A file may come from anyone, so a template can neither leave the sandbox nor take long: calls, attributes and powers are
refused before anything runs, loops are counted, and so are the characters of every text that is read or built.

A rendered prompt comes in pieces: the template's own words, and what an expression that reads a value made of it, by
whatever filters and joins. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, Protocol

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...lm.prompts.prompt_tokens import MAX_CHARACTERS, Value
from ...system.errors import PromptError, TemplateMistake
from ...system.wording import did_you_mean

MAX_LOOP_STEPS = 10_000
MAX_HANDLED = 10 * MAX_CHARACTERS  # characters that all expressions of a template together read or make
_OF_ANY = 32  # characters that an expression counts for beside its own
MAX_LOOP_DEPTH = 3
MAX_TAGS = 1_000
VARIABLES = ("query", "agent")
LANGUAGE = (*VARIABLES, "text", "range", "loop", "and", "or", "not", "in", "is", "if", "else", "elif", "endif", "for",
            "endfor", "set", "endset", "true", "false", "none", "True", "False", "None")  # fmt: skip
"""Names that a column of a query cannot have."""
FILTERS = (
    "capitalize",
    "default",
    "first",
    "last",
    "length",
    "lower",
    "replace",
    "title",
    "trim",
    "upper",
    "wordcount",
)
_NONE: Mapping[str, str] = {}
LOOP_ATTRIBUTES = ("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem")
TESTS = ("defined", "eq", "even", "ge", "gt", "in", "le", "lower", "lt", "ne", "none", "number", "odd", "string",
         "undefined", "upper")  # fmt: skip

_ALLOWED = (
    nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.If, nodes.For,
    nodes.Assign, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Mod, nodes.Neg, nodes.Pos, nodes.Filter, nodes.Test, nodes.Getattr,
    nodes.Getitem, nodes.Slice, nodes.Call, nodes.Keyword,
)  # fmt: skip
_NAMES = {nodes.Pow: "'**'", nodes.Div: "'/'", nodes.FloorDiv: "'//'", nodes.Dict: "a mapping", nodes.Macro: "a macro"}


class Speaker(Protocol):
    """What a prompt needs to know of an agent: its name, and a raw prompt or messages (role, text)."""

    @property
    def name(self) -> str: ...
    @property
    def prompt(self) -> str | None: ...
    @property
    def messages(self) -> Sequence[tuple[str, str]]: ...


def render_prompt(agent: Speaker, query: str, columns: Mapping[str, str] = _NONE) -> list[str]:
    """The pieces of what an agent with `prompt` continues, given a query and its columns. Raises PromptError."""
    assert agent.prompt is not None
    return _pieces(agent.prompt, {**columns, "agent": agent.name, "query": query})


def render_messages(agent: Speaker, query: str, columns: Mapping[str, str] = _NONE) -> list[dict[str, str]]:
    """The messages of an agent with `chat` or `messages`, as role and content. Raises PromptError."""
    return [{"role": role, "content": render(text, agent.name, query, columns)} for role, text in agent.messages]


def render_question(prompt: str, agent: str, query: str, text: str, columns: Mapping[str, str] = _NONE) -> list[str]:
    """The pieces of what a judge is asked about a finished text; this agent bids for it. Raises PromptError."""
    return _pieces(prompt, {**columns, "agent": agent, "query": query, "text": text})


def names_in(source: str) -> Set[str]:
    """The variables that a template of a valid file uses."""
    return _compiled(source, VARIABLES)[1].keys()


def template_mistakes(
    source: str,
    agent: str,
    queries: Mapping[str, Mapping[str, str]],
    query_given: bool,
    *,
    is_question: bool = False,
) -> list[TemplateMistake]:
    """What is wrong with a template: what shows without rendering, else the first query, with its columns, that fails.

    A question to a judge knows {{ text }} too, and asks about it; it is tried on an empty text, for there may be some.
    """
    columns = dict.fromkeys(name for of_query in queries.values() for name in of_query)
    known = (*columns, *VARIABLES, "text") if is_question else (*columns, *VARIABLES)
    try:
        _, names = _compiled(source, tuple(known))
    except PromptError as error:
        return [error.mistake]
    mistakes = [TemplateMistake(line, _unknown_name(name, known)) for name, line in names.items() if name not in known]
    if "query" in names and not query_given:
        mistakes.append(TemplateMistake(names["query"], "{{ query }} is used, but the file has no queries"))
    if is_question and "text" not in names:
        mistakes.append(TemplateMistake(1, "a judge is asked about {{ text }}, which its prompt does not have"))
    return mistakes or _rendering_mistakes(source, agent, queries)


def render(source: str, agent: str, query: str, columns: Mapping[str, str] = _NONE) -> str:
    """The text of one template. Raises PromptError."""
    return "".join(_pieces(source, {**columns, "agent": agent, "query": query}))


def _pieces(source: str, values: Mapping[str, str]) -> list[str]:
    template, _ = _compiled(source, tuple(values))
    template.environment.begin()  # type: ignore[attr-defined]
    pieces: list[str] = []
    n_characters = 0
    try:
        for piece in template.generate(values):
            n_characters += len(piece)
            _bounded_length(n_characters)
            pieces.append(piece)
    except Exception as error:  # whatever a template raises is a mistake in the file
        raise PromptError(TemplateMistake(_line_of(error), str(error))) from None
    return pieces


def _rendering_mistakes(source: str, agent: str, queries: Mapping[str, Mapping[str, str]]) -> list[TemplateMistake]:
    for query, columns in queries.items():
        try:
            render_question(source, agent, query, "", columns)
        except PromptError as error:
            return [error.mistake]
    return []


@lru_cache(maxsize=256)
def _compiled(source: str, values: tuple[str, ...]) -> tuple[Template, Mapping[str, int]]:
    """The template, to which these names are values, and the names it takes from outside with their first line."""
    if source.count("{{") + source.count("{%") > MAX_TAGS:
        raise PromptError(TemplateMistake(1, f"the template has more than {MAX_TAGS:,} pairs of braces"))
    environment = _Environment(values)
    try:
        template = environment.from_string(source)
    except TemplateSyntaxError as error:
        raise PromptError(TemplateMistake(error.lineno, error.message or "not a template")) from None
    except (RecursionError, MemoryError, SyntaxError):
        raise PromptError(TemplateMistake(1, "the template is nested too deeply")) from None
    except (ValueError, OverflowError):
        raise PromptError(TemplateMistake(1, "the template has a number of too many digits")) from None
    return template, environment.names


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2 cut down to the small language; parsing refuses the rest and puts counters where work is done."""

    intercepted_binops = frozenset({"+", "-", "*", "%"})

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, optimized=False, autoescape=False)
        self.begin()
        self._values = values
        self.names: dict[str, int] = {}
        self.globals = {"range": self._range}
        known: dict[str, Callable[..., Any]] = {name: self.filters[name] for name in FILTERS}
        own = {"_counted": self._counted, "_handled": self._handled, "_value": _value}
        self.filters = known | {"replace": _replace} | own
        self.tests = {name: self.tests[name] for name in TESTS}

    def begin(self) -> None:
        """A rendering begins: it may take all steps and characters."""
        self.steps = self.n_handled = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        self._check(tree, 0)
        self.names = _outer_names(tree)
        _set_values_apart(tree, self._values)
        return _guarded(tree)

    def _check(self, node: nodes.Node, loop_depth: int) -> None:
        for child in node.iter_child_nodes():
            _check_allowed(child)
            inside = loop_depth + isinstance(child, nodes.For)
            if _is_name(child, "range") and not isinstance(node, nodes.Call):
                raise TemplateSyntaxError("range is used as in range(3)", child.lineno)
            if inside > MAX_LOOP_DEPTH:
                raise TemplateSyntaxError(f"loops are nested more than {MAX_LOOP_DEPTH} deep", child.lineno)
            self._check(child, inside)

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        if len(numbers) > MAX_LOOP_STEPS:
            raise SecurityError(f"range({', '.join(map(str, bounds))}) is more than {MAX_LOOP_STEPS:,} steps")
        return numbers

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.steps += 1
            if self.steps > MAX_LOOP_STEPS:
                raise SecurityError(f"the loops take more than {MAX_LOOP_STEPS:,} steps")
            yield item

    def _handled(self, item: Any) -> Any:
        """What an expression reads or makes; a text counts by its characters."""
        n_characters = len(item) if isinstance(item, str) else 0
        _bounded_length(n_characters)
        self.n_handled += n_characters + _OF_ANY
        if self.n_handled > MAX_HANDLED:
            raise SecurityError(f"the prompt handles more than {MAX_HANDLED:,} characters: use fewer filters or loops")
        return item

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on small numbers; '+' joins texts."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return left + right
        for operand in (left, right):
            if not isinstance(operand, (int, float)):
                raise SecurityError(f"'{operator}' takes numbers in a prompt, got {type(operand).__name__}")
            if abs(operand) > 1e9:
                raise SecurityError(f"'{operator}' takes numbers up to a billion in a prompt")
        return super().call_binop(context, operator, left, right)


def _check_allowed(node: nodes.Node) -> None:
    refusal = None
    if not isinstance(node, _ALLOWED):
        refusal = f"{_NAMES.get(type(node), type(node).__name__.lower())} is not available in a prompt"
    elif isinstance(node, nodes.Getattr) and not (_is_name(node.node, "loop") and node.attr in LOOP_ATTRIBUTES):
        refusal = f"attributes such as .{node.attr} are not available in a prompt; filters are: {', '.join(FILTERS)}"
    elif isinstance(node, nodes.Call) and not (_is_name(node.node, "range") and not node.kwargs):
        refusal = f"only range() can be called in a prompt; filters are: {', '.join(FILTERS)}"
    elif _is_list(node) and not all(isinstance(item, nodes.Const) for item in node.iter_child_nodes()):
        refusal = "a list in a prompt is made of constants"
    elif isinstance(node, nodes.For) and node.recursive:
        refusal = "a recursive loop is not available in a prompt"
    elif isinstance(node, nodes.Concat) and len(node.nodes) > 50:
        refusal = "'~' joins at most 50 texts"
    elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
        refusal = f"unknown filter {node.name!r}{did_you_mean(node.name, FILTERS)}; there are: {', '.join(FILTERS)}"
    elif isinstance(node, nodes.Test) and node.name not in TESTS:
        refusal = f"unknown test {node.name!r}{did_you_mean(node.name, TESTS)}"
    if refusal:
        raise TemplateSyntaxError(refusal, node.lineno)


def _is_list(node: nodes.Node) -> bool:
    return isinstance(node, nodes.List) or (isinstance(node, nodes.Tuple) and node.ctx == "load")


def _is_name(node: nodes.Node, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _guarded(tree: nodes.Template) -> nodes.Template:
    """The same template with every loop and every text that an expression reads or makes counted."""
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = _filter(loop.iter, "_counted")
    for parent in [tree, *tree.find_all(nodes.Node)]:
        for field_name, value in list(parent.iter_fields()):
            if isinstance(value, nodes.Node):
                setattr(parent, field_name, _counting(value))
            elif isinstance(value, list):
                value[:] = map(_counting, value)
    return tree


def _counting(node: Any) -> Any:
    reads_a_text = isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in ("loop", "range")
    makes_a_text = isinstance(node, (nodes.Filter, nodes.Getitem, nodes.Concat, nodes.Add))
    return _filter(node, "_handled") if reads_a_text or makes_a_text else node


def _set_values_apart(tree: nodes.Template, given: Iterable[str]) -> None:
    """Have what is put out because of a value come as a piece of its own, a Value."""
    values = _values_in(tree, given)
    for output in tree.find_all(nodes.Output):
        parts = [part for node in output.nodes for part in (node.nodes if isinstance(node, nodes.Concat) else [node])]
        output.nodes = [_filter(part, "_value") if _reads(part, values) else part for part in parts]


def _values_in(tree: nodes.Template, given: Iterable[str]) -> set[str]:
    """The names that may stand for a value or for what was made of one."""
    values, n_before = set(given), 0
    while len(values) > n_before:
        n_before = len(values)
        for loop in tree.find_all(nodes.For):
            if _reads(loop.iter, values):
                values |= {"loop", *_names_in(loop.target)}
        for assignment in tree.find_all(nodes.Assign):
            if _reads(assignment.node, values):
                values |= _names_in(assignment.target)
    return values


def _names_in(target: nodes.Node) -> set[str]:
    return {node.name for node in (target, *target.find_all(nodes.Name)) if isinstance(node, nodes.Name)}


def _reads(node: nodes.Node, values: Set[str]) -> bool:
    """Whether characters of a value can be in what an expression makes; what it compares only is not."""
    if isinstance(node, nodes.Name):
        return node.name in values
    if isinstance(node, (nodes.Compare, nodes.Test, nodes.Not)):
        return False
    children = (node.expr1, node.expr2) if isinstance(node, nodes.CondExpr) else node.iter_child_nodes()
    return any(_reads(child, values) for child in children if child is not None)


def _filter(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _outer_names(tree: nodes.Template) -> dict[str, int]:
    """The names that the template reads and does not set itself, with the line of their first use."""
    own = {"range", "loop"} | {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    lines: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        if name.name not in own:
            lines[name.name] = min(name.lineno, lines.get(name.name, name.lineno))
    return lines


def _value(item: Any) -> Value:
    return Value(str(item))


def _bounded_length(n_characters: int) -> None:
    if n_characters > MAX_CHARACTERS:
        raise SecurityError(f"the prompt grows beyond {MAX_CHARACTERS:,} characters")


def _replace(text: str, old: str, new: str) -> str:
    _bounded_length(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _unknown_name(name: str, known: Sequence[str]) -> str:
    *most, last = (f"{{{{ {one} }}}}" for one in known)
    return f"unknown name {name!r}{did_you_mean(name, known)}; a prompt knows {', '.join(most)} and {last}"


def _line_of(error: Exception) -> int:
    """The template line at which rendering stopped; Jinja2 puts it into the traceback."""
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
