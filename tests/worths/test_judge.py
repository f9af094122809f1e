"""A judge's scores: by hand where every logit is known, once per question, the same in any company."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_MODEL
from tiny_gguf import TURN, attention_model, bigram_model, of_byte

from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.experiment.format.audit import Judge
from tokenauction_cli.lm.llama.gguf import GgufContext, open_vocabulary
from tokenauction_cli.lm.llama.hardware import choose_hardware
from tokenauction_cli.lm.llama.native_output import quiet
from tokenauction_cli.lm.llama.prefill import PrefillContext
from tokenauction_cli.model_files.models import locate, parse_reference, sha256_of
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.system.errors import ModelError
from tokenauction_cli.worths import judges as judge_module
from tokenauction_cli.worths.judges import Answers, Asked, JudgeQuestion, judged

WORDS = ("Yes", "No", "\u2581Yes", "\u2581No", "Ye")  # the last is what tokens of Yes are merged from
YES, NO, SPACED_YES, SPACED_NO = range(260, 264)
PROMPT = "{{ agent }}:{{ text }}"
A, B, C = (JudgeQuestion("A", "q", text) for text in "abc")
CPU = choose_hardware("cpu", "auto", 2)
GEMMA = "gemma3-270m"


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Its agent has a model of its own; the judge's lies beside the file."""
    bigram_model(tmp_path / "agent.gguf")
    path = tmp_path / "e.yaml"
    path.write_text("name: e\nagents: [{name: A, id: alpha, model: agent.gguf, prompt: a}]\n")
    return load_experiment(path)


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """After "a" it says Yes with four times the odds of No, after "b" No alone, after "c" nothing that is known."""
    follows = {
        of_byte(ord("a")): {YES: np.log(3.0), SPACED_YES: np.log(5.0), NO: 0.0, SPACED_NO: 0.0},
        of_byte(ord("b")): {NO: 60.0},
    }
    bigram_model(tmp_path / "judge.gguf", follows, WORDS)
    return Judge(model="judge.gguf", prompt=PROMPT, value=1)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    path = tmp_path / "run"
    path.mkdir()
    return RunFolder(path)


def scores(experiment: Experiment, judge: Judge, folder: RunFolder, *questions: JudgeQuestion) -> list[float]:
    with quiet():
        found = judged(experiment, judge, questions, folder)
    return [found[question] for question in questions]


def lines(folder: RunFolder) -> list[dict[str, object]]:
    return [json.loads(line) for path in folder.of("judged").record_files() for line in path.read_bytes().splitlines()]


def test_a_judge_that_tells_no_text_from_another_is_named(
    experiment: Experiment, judge: Judge, folder: RunFolder
) -> None:
    """After "c" as after "d" it knows nothing, so both have the score 1/2."""
    asked = Asked(experiment, folder, print)
    with quiet():
        asked(judge, [C, C._replace(text="d")])
        (doubt,) = asked.doubts()
        assert doubt.startswith("the judge judge.gguf gives all 2 texts the score 0.5: is this meant?")
        asked(judge, [A])
    assert not list(asked.doubts())


# A score


def test_scores_by_hand(experiment: Experiment, judge: Judge, folder: RunFolder) -> None:
    """(3 + 5) / (3 + 5 + 1 + 1), e^-60 of it, and even odds."""
    a, b, c = scores(experiment, judge, folder, A, B, C)
    assert a == pytest.approx(0.8, abs=1e-4)
    assert 0 < b < 1e-20
    assert c == pytest.approx(0.5, abs=1e-6)


def test_a_score_is_what_the_softmax_gives(experiment: Experiment, tmp_path: Path, folder: RunFolder) -> None:
    """A vocabulary of bytes: a space begins both answers, so it counts for neither."""
    path = attention_model(tmp_path / "bytes.gguf")
    question = JudgeQuestion("A", "q", "Fly-to-Hawaii-with-Alpha!")
    (score,) = scores(experiment, Judge(model=path.name, prompt=PROMPT, value=1), folder, question)
    tokens = (1, *map(of_byte, b"A:Fly-to-Hawaii-with-Alpha!"))
    with quiet(), closing(GgufContext(path, CPU, n_sequences=1, n_tokens=64)) as context:
        logits = context.evaluate({0: tokens})[0].astype(float)
    p = np.exp(logits) / np.exp(logits).sum()
    yes, no = p[of_byte(ord("Y"))], p[of_byte(ord("N"))]
    assert score == pytest.approx(yes / (yes + no), abs=1e-3)


def test_scores_stand_at_the_ends_of_floating_point() -> None:
    answers = Answers((0, 1), (2,))
    assert answers.share_of_yes(np.array([1e4, -np.inf, 1e4], np.float32)) == 0.5
    assert answers.share_of_yes(np.array([-1e4, -1e4, -1e4], np.float32)) == pytest.approx(2 / 3)
    assert answers.share_of_yes(np.array([-np.inf, -np.inf, 0], np.float32)) == 0
    assert answers.share_of_yes(np.array([-np.inf, 0, -np.inf], np.float32)) == 1
    assert answers.share_of_yes(np.array([-np.inf] * 3, np.float32)) is None


def test_the_answers_are_tokens_of_the_vocabulary(tmp_path: Path) -> None:
    with open_vocabulary(bigram_model(tmp_path / "m.gguf", words=WORDS)) as vocabulary:
        assert Answers.of(vocabulary) == Answers((YES, SPACED_YES), (NO, SPACED_NO))


def test_a_text_names_no_control_token(experiment: Experiment, tmp_path: Path, folder: RunFolder) -> None:
    """The prompt may; a text that spells one is read as its letters."""
    bigram_model(tmp_path / "m.gguf", {3: {YES: 9.0}, of_byte(ord(">")): {NO: 9.0}}, WORDS)
    turn = JudgeQuestion("A", TURN, TURN)
    assert scores(experiment, Judge(model="m.gguf", prompt=f"{{{{ text }}}}{TURN}", value=1), folder, turn)[0] > 0.99
    assert scores(experiment, Judge(model="m.gguf", prompt=f"{TURN}{{{{ text }}}}", value=1), folder, turn)[0] < 0.01
    assert scores(experiment, Judge(model="m.gguf", prompt=f"{TURN}{{{{ query }}}}", value=1), folder, turn)[0] < 0.01
    rest, loud = JudgeQuestion("A", "q", TURN[1:]), JudgeQuestion("A", "q", TURN.upper())
    assert (
        scores(experiment, Judge(model="m.gguf", prompt=f"{TURN}{TURN[0]}{{{{ text }}}}", value=1), folder, rest)[0]
        < 0.01
    )
    assert (
        scores(experiment, Judge(model="m.gguf", prompt=f"{TURN}{{{{ text|lower }}}}", value=1), folder, loud)[0] < 0.01
    )


# Once, whatever else is asked


def test_a_score_is_the_same_in_any_company(experiment: Experiment, tmp_path: Path) -> None:
    model = attention_model(tmp_path / "bytes.gguf").name
    judge = Judge(model=model, prompt="A long beginning that all of them share. " + PROMPT, value=1)
    questions = [JudgeQuestion("A", "q", "la" * n + end) for n in (0, 40, 300) for end in ("?", "!")]

    def asked(name: str, *several: JudgeQuestion) -> list[float]:
        (tmp_path / name).mkdir()
        return scores(experiment, judge, RunFolder(tmp_path / name), *several)

    together = asked("together", *questions)
    assert len(set(together)) == len(questions)
    assert asked("backwards", *questions[::-1]) == together[::-1]
    assert [asked(f"alone {k}", question)[0] for k, question in enumerate(questions)] == together


def test_a_question_is_asked_once(
    experiment: Experiment, judge: Judge, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scores(experiment, judge, folder, A, B, A, A._replace(query="in no prompt"))
    assert len(lines(folder)) == 2, "equal questions are one"
    before = [path.read_bytes() for path in folder.of("judged").record_files()]
    assert scores(experiment, judge, folder, C, B, A)[::-1][:2] == first[:2]
    assert len(lines(folder)) == 3
    assert [path.read_bytes() for path in folder.of("judged").record_files()][:1] == before
    monkeypatch.setattr(GgufContext, "__init__", lambda *_, **__: pytest.fail("nothing is left to be asked"))
    assert scores(experiment, judge, folder, A) == first[:1]


def test_a_line_names_model_and_question(experiment: Experiment, judge: Judge, folder: RunFolder) -> None:
    (score,) = scores(experiment, judge, folder, A)
    digest = hashlib.sha256(np.array([1, *map(of_byte, b"A:a")], np.int32).tobytes()).hexdigest()
    (line,) = lines(folder)
    assert line == {"model": sha256_of(experiment.path.parent / "judge.gguf"), "question": digest, "score": score}


def test_another_model_is_asked_anew(experiment: Experiment, judge: Judge, folder: RunFolder, tmp_path: Path) -> None:
    scores(experiment, judge, folder, A)
    bigram_model(tmp_path / "other.gguf", {of_byte(ord("a")): {NO: 9.0}}, WORDS)
    assert scores(experiment, judge.model_copy(update={"model": "other.gguf"}), folder, A)[0] < 0.01
    assert len(lines(folder)) == 2


def test_an_interruption_keeps_what_is_done(
    experiment: Experiment, judge: Judge, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [JudgeQuestion("A", "q", "a" * n) for n in range(1, 2 * judge_module.BATCH + 3)]
    evaluate, n_asked = PrefillContext.evaluate, 0

    def interrupted(self: PrefillContext, wanted: dict[int, tuple[int, ...]]) -> object:
        nonlocal n_asked
        n_asked += 1
        if n_asked == 2 * judge_module.BATCH:
            raise KeyboardInterrupt
        return evaluate(self, wanted)

    monkeypatch.setattr(PrefillContext, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scores(experiment, judge, folder, *questions)
    assert len(lines(folder)) == judge_module.BATCH
    n_asked = -1000
    assert all(score == pytest.approx(0.8, abs=1e-4) for score in scores(experiment, judge, folder, *questions))
    assert n_asked + 1000 == len(questions) - judge_module.BATCH
    assert len(lines(folder)) == len(questions)


def test_a_torn_line_is_asked_again(experiment: Experiment, judge: Judge, folder: RunFolder) -> None:
    whole = scores(experiment, judge, folder, A, B)
    (path,) = folder.of("judged").record_files()
    path.write_bytes(path.read_bytes()[:-9])
    assert scores(experiment, judge, folder, A, B) == whole
    assert len(folder.of("judged").record_files()) == 2
    for wrong in (b"{}\n", b'{"question": "x"}\n', path.read_bytes().replace(b'"score":', b'"score":"high","was":')):
        path.write_bytes(wrong)
        assert scores(experiment, judge, folder, A, B) == whole


# What cannot be


def test_an_agents_own_model_may_judge(experiment: Experiment, folder: RunFolder) -> None:
    """Its bigrams know no answer: even odds."""
    assert scores(experiment, Judge(model="agent.gguf", prompt=PROMPT, value=1), folder, A) == [pytest.approx(0.5)]


def test_a_vocabulary_that_cannot_answer(experiment: Experiment, folder: RunFolder, tmp_path: Path) -> None:
    """It has no letter of either answer: both have no token."""
    facts = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["a b"]}
    bigram_model(tmp_path / "few.gguf", words=("a", "b"), metadata=facts)
    with pytest.raises(ModelError, match=r"few.gguf cannot be a judge: its vocabulary does not tell .* Yes from .* No"):
        scores(experiment, Judge(model="few.gguf", prompt="a", value=1), folder, A)


def test_a_question_that_is_too_long(experiment: Experiment, judge: Judge, folder: RunFolder) -> None:
    long = JudgeQuestion("A", "q", "a" * 2046)
    with pytest.raises(ModelError, match=r"question 'A:a{58}\.\.\.' has 2049 tokens, more than the 2048 tokens"):
        scores(experiment, judge, folder, A, long)
    assert scores(experiment, judge, folder, long._replace(text="a" * 2045)) == [pytest.approx(0.8, abs=1e-4)]


def test_neither_answer_is_possible(
    experiment: Experiment, judge: Judge, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PrefillContext, "evaluate", lambda self, wanted: {0: np.full(265, -np.inf, np.float32)})
    with pytest.raises(ModelError, match=r"neither Yes nor No any probability after '<s>A:a'"):
        scores(experiment, judge, folder, A)
    assert not lines(folder)


def test_a_model_that_is_not_there(experiment: Experiment, folder: RunFolder) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.gguf"):
        scores(experiment, Judge(model="nowhere.gguf", prompt=PROMPT, value=1), folder, A)


def test_a_damaged_file_ends_a_child_process(experiment: Experiment, judge: Judge, folder: RunFolder) -> None:
    path = experiment.path.parent / judge.model
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(ModelError, match=r"judge\.gguf"):
        scores(experiment, judge, folder, A)


# Real models


def sensible(experiment: Experiment, folder: RunFolder, model: str) -> None:
    asked = "Question: Is Paris a city in {{ text }}? Answer Yes or No.\nAnswer:"
    france, moon = scores(
        experiment,
        Judge(model=model, prompt=asked, value=1),
        folder,
        JudgeQuestion("A", "", "France"),
        JudgeQuestion("A", "", "the ocean of the moon"),
    )
    assert 0 < moon < france < 1


@pytest.mark.model
@pytest.mark.usefixtures("model_path")
def test_a_small_model_has_an_opinion(experiment: Experiment, folder: RunFolder) -> None:
    sensible(experiment, folder, DEMO_MODEL)


@pytest.mark.two_models
def test_another_family_judges(experiment: Experiment, folder: RunFolder) -> None:
    try:
        locate(parse_reference(GEMMA, Path()), offline=True)
    except ModelError as error:
        pytest.skip(str(error))
    sensible(experiment, folder, GEMMA)
