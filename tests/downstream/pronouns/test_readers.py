"""Readers: own small files of every layout, mistakes that stop nothing else, and the real sets."""

from __future__ import annotations

import collections
import gzip

import pytest

from t5coref.core.errors import ConfigError, DocumentError, FormatError
from t5coref.downstream.pronouns import blocks, gap, schemas, sets, winobias, winogender
from t5coref.downstream.pronouns.example import (
    MASK,
    Candidate,
    PronounExample,
    cloze_input,
    cloze_text,
    fillings,
    is_possessive,
    marked_text,
)
from t5coref.downstream.text import Mistakes

TEXT = "Ann met Eve. Later she praised her sister."


def gap_row(name="v-1", text=TEXT, pronoun="she", at=19, a=("Ann", 0), b=("Eve", 8), coref=(1, 0)):
    truth = [str(bool(x)).upper() for x in coref]
    return [name, text, pronoun, str(at), a[0], str(a[1]), truth[0], b[0], str(b[1]), truth[1], "u"]


@pytest.fixture
def gap_file(tmp_path):
    def write(*rows, name="gap.tsv"):
        lines = ["\t".join(cells) for cells in (gap.COLUMNS, *rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
        return tmp_path / name

    return write


def test_gap(gap_file):
    path = gap_file(
        gap_row(),
        gap_row("v-2", "Zoë 𝒳 saw Eve; HIS hat.", "HIS", 15, ("Zoë 𝒳", 0), ("Eve", 10), (0, 0)),
        gap_row("v-3", pronoun="her", at=31, coref=(0, 1)),
    )
    first, second, third = gap.read(path)
    assert cloze_input(first) == "Ann met Eve. Later <extra_id_0> praised her sister."
    assert first.candidates == (Candidate("Ann", (0, 3), True), Candidate("Eve", (8, 11)))
    assert first.groups == {"gender": "feminine", "answer": "A"}
    assert fillings(first) == ("Ann", "Eve")
    assert (second.pronoun, second.true, second.groups["answer"]) == ("HIS", (), "neither")
    assert fillings(second) == ("Zoë 𝒳's", "Eve's")
    assert fillings(third) == ("Ann's", "Eve's")
    assert gap.read_labels(path) == {
        "v-1": ("she", (True, False)), "v-2": ("HIS", (False, False)), "v-3": ("her", (False, True))
    }  # fmt: skip


BROKEN = [
    (gap_row(at=20), "pronoun at offset 20 is 'he '; expected 'she'"),
    (gap_row(at=4000), "pronoun at offset 4000 is ''"),
    (gap_row(a=("Ann", 1)), r"offsets \(1, 4\) are those of 'nn '; expected 'Ann'"),
    (gap_row(b=("Eve", "x")), "B-offset is 'x'; expected a character offset"),
    ([*gap_row()[:6], "YES", *gap_row()[7:]], "label 'YES'; expected TRUE or FALSE"),
    (gap_row("v-0"), "'v-0' is there twice"),
    (gap_row()[:-1], "10 columns in 'v-1'; expected 11"),
    (gap_row(text=TEXT + " <extra_id_0>"), "one of T5's sentinels"),
]


@pytest.mark.parametrize(("row", "message"), BROKEN)
def test_a_broken_gap_example_is_named_and_the_rest_goes_on(gap_file, row, message):
    path = gap_file(gap_row("v-0"), row, gap_row("v-9"))
    mistakes = Mistakes()
    assert [e.name for e in gap.read(path, mistakes)] == ["v-0", "v-9"]
    assert len(mistakes.messages) == 1
    assert mistakes.messages[0].startswith(f"{path}:3: ")
    with pytest.raises(FormatError, match=message):
        list(gap.read(path))


def test_no_gap_file(tmp_path):
    for content in ("", "ID\tText\n"):
        (tmp_path / "x.tsv").write_text(content)
        with pytest.raises(FormatError, match=r"expected .*GAP"):
            list(gap.read(tmp_path / "x.tsv", Mistakes()))


def test_gap_predictions_round_trip(tmp_path):
    made = {"v-2": (True, False), "v-1": (False, False)}
    gap.write_predictions(made, tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text() == "v-2\tTRUE\tFALSE\nv-1\tFALSE\tFALSE\n"
    assert gap.read_predictions(tmp_path / "out.tsv") == made
    (tmp_path / "out.tsv").write_text("v-2\ttrue\tfalse\n\nv-2\tTRUE\tTRUE\n")
    with pytest.raises(FormatError, match=r"out.tsv:3: example 'v-2' is there twice"):
        gap.read_predictions(tmp_path / "out.tsv")
    (tmp_path / "out.tsv").write_text("v-2\tTRUE\n")
    with pytest.raises(FormatError, match="2 columns; expected ID, A-coref, B-coref"):
        gap.read_predictions(tmp_path / "out.tsv")


BLOCKS = """\
The bee landed on the flower because it had pollen.
it
The bee,the flower
the flower

It rained. The dog  [MASK]  barked and [MASK].
[MASK]
 the dog , The Cat, nobody
the cat

His hat is old, she said.
her
Ann,Eve
Ann

Nobody saw Ann's
"""


def test_blocks(tmp_path):
    path = tmp_path / "dpr.c.txt.gz"
    path.write_bytes(gzip.compress(BLOCKS.encode()))
    mistakes = Mistakes()
    first, second = blocks.read(path, mistakes)
    assert cloze_input(first) == "The bee landed on the flower because <extra_id_0> had pollen."
    assert (first.name, first.true, first.spaced) == ("dpr.c-1", (1,), True)
    assert first.groups == {"gender": "neutral"}
    assert fillings(first) == ("the bee", "the flower")
    assert second.text == "It rained. The dog [MASK] barked and [MASK]."
    assert cloze_input(second).startswith("It rained. The dog <extra_id_0> barked and [MASK]")
    assert [c.text for c in second.candidates] == ["the dog", "The Cat", "nobody"]
    assert (second.true, second.groups) == ((1,), {})
    assert [m.split(": ", 1)[0] for m in mistakes.messages] == [f"{path}:11", f"{path}:16"]
    assert "no 'her' in" in mistakes.messages[0]
    assert "'dpr.c-4' has 1 lines" in mistakes.messages[1]
    with pytest.raises(FormatError, match="no 'her' in"):
        list(blocks.read(path))


def block(text, pronoun="it", candidates="a dog,a cat", right="a cat"):
    return f"{text}\n{pronoun}\n{candidates}\n{right}\n\n"


def test_where_a_pronoun_is_found(tmp_path):
    texts = ["Its hat, item, it.", "(it) and it", "It saw it's hat", "A dog and it, then it"]
    path = tmp_path / "x.txt"
    path.write_text("".join(map(block, texts)))
    found = list(blocks.read(path))
    assert [e.span[0] for e in found] == [15, 1, 7, 10]
    assert [e.spaced for e in found] == [False, False, False, False]
    path.write_text(block("The cat took [MASK]  .", MASK) + block("A cat had  [MASK] 's hat", MASK))
    assert [e.text for e in blocks.read(path)] == ["The cat took [MASK].", "A cat had [MASK]'s hat"]
    for wrong in (("a dog,a cat", "a cow"), ("a dog", "a dog"), ("a cat,A Cat", "a cat")):
        path.write_text(block("it", "it", *wrong))
        with pytest.raises(FormatError, match="at least two, one of them the answer"):
            list(blocks.read(path))


SCHEMAS = """\
<collection>
<schema><text><txt1>
 Jim told  Bob that</txt1><pron> he </pron><txt2> won.
</txt2></text>
<quote><quote1/><pron>he</pron></quote>
<answers><answer>Jim </answer><answer>Bob</answer></answers><correctAnswer> B. </correctAnswer>
</schema>
<schema><text><txt1></txt1><pron>His</pron><txt2>, he said</txt2></text>
<answers><answer>Jim</answer><answer>Bob</answer><answer>the cat</answer></answers>
<correctAnswer>c</correctAnswer></schema>
<schema><text><txt1>No</txt1></text><answers/></schema>
<schema><text><pron>it</pron></text><answers><answer>a</answer><answer>b</answer></answers>
<correctAnswer>C</correctAnswer></schema>
</collection>
"""


def test_schemas(tmp_path):
    path = tmp_path / "WSCollection.xml"
    path.write_text(SCHEMAS)
    mistakes = Mistakes()
    first, second = schemas.read(path, mistakes)
    assert (first.text, first.pronoun, first.true) == ("Jim told Bob that he won.", "he", (1,))
    assert (second.text, second.pronoun, second.true) == ("His, he said", "His", (2,))
    assert fillings(second) == ("Jim's", "Bob's", "The cat's")
    assert "'WSCollection-3' has no <pron>" in mistakes.messages[0]
    assert "2 answers and the right one is 'C'" in mistakes.messages[1]
    path.write_text("<collection>")
    with pytest.raises(FormatError, match="no well-formed XML"):
        list(schemas.read(path))
    path.write_text("<collection/>")
    with pytest.raises(FormatError, match="has no <schema>"):
        list(schemas.read(path))


def test_the_collection_has_more_than_wsc273(tmp_path):
    one = SCHEMAS.split("</schema>")[0].removeprefix("<collection>") + "</schema>"
    path = tmp_path / "WSCollection.xml"
    path.write_text(f"<collection>{one * 285}</collection>")
    assert len(sets.read("wsc273", path)) == 273


def winogender_files(folder):
    (folder / "occupations-stats.tsv").write_text(
        "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\n"
        "nurse\t1\t90.2\t2015\nchef\t60\t19.8\t2015\n"
    )
    rows = [
        "nurse.patient.0.male.txt\tThe nurse told the patient that his shift ended.",
        "nurse.patient.0.female.txt\tThe nurse told the patient that her shift ended.",
        "nurse.someone.1.female.txt\tThe nurse told someone that a nurse would see her.",
        "chef.guest.1.male.txt\tA guest paid the chef and he left.",
        "chef.guest.1.neutral.txt\tA guest paid the chef and they left.",
        "chef.guest.2.male.txt\tA guest paid the chef and he left.",
        "chef.guest.1.female.txt\tA guest paid the chef and left.",
        "cook.guest.1.female.txt\tA guest paid the chef and she left.",
    ]
    (folder / "all.tsv").write_text("\n".join(["sentid\tsentence", *rows]) + "\n")
    return folder / "all.tsv"


def test_winogender(tmp_path):
    mistakes = Mistakes()
    found = list(winogender.read(winogender_files(tmp_path), mistakes))
    assert [fillings(e) for e in found] == [
        ("the nurse's", "the patient's"), ("the nurse's", "the patient's"),
        ("the nurse", "someone"), ("the chef", "a guest"), ("the chef", "a guest"),
    ]  # fmt: skip
    assert [e.groups.get("gotcha") for e in found] == ["yes", "no", "yes", "yes", None]
    assert [e.true for e in found] == [(0,), (0,), (1,), (1,), (1,)]
    assert found[0].groups["pair"] == found[1].groups["pair"] == "nurse.patient.0"
    assert [m.split(": ")[0] for m in mistakes.messages] == [
        f"{tmp_path}/all.tsv:{i}" for i in (7, 8, 9)
    ]
    (tmp_path / "occupations-stats.tsv").unlink()
    assert "gotcha" not in next(winogender.read(tmp_path / "all.tsv")).groups


def test_winogender_templates(tmp_path):
    (tmp_path / "t.tsv").write_text(
        "occupation(0)\tother-participant(1)\tanswer\tsentence\n"
        "nurse\tpatient\t1\tThe $PARTICIPANT thanked the $OCCUPATION for $POSS_PRONOUN bed.\n"
        "chef\tguest\t0\tThe $OCCUPATION told a $PARTICIPANT about $ACC_PRONOUN.\n"
        "chef\tguest\t0\tThe $OCCUPATION told a $PARTICIPANT.\n"
    )
    mistakes = Mistakes()
    found = list(winogender.read_templates(tmp_path / "t.tsv", mistakes))
    assert [cloze_input(e) for e in found] == [
        "The patient thanked the nurse for <extra_id_0> bed.",
        "Someone thanked the nurse for <extra_id_0> bed.",
        "The chef told a guest about <extra_id_0>.",
        "The chef told someone about <extra_id_0>.",
    ]
    assert [fillings(e) for e in found] == [
        ("the nurse's", "the patient's"), ("the nurse's", "someone's"), ("the chef", "a guest"),
        ("the chef", "someone"),
    ]  # fmt: skip
    assert [e.groups["other"] for e in found] == ["participant", "someone"] * 2
    assert len(mistakes.messages) == 2  # with the participant and with someone


WINOBIAS = """\
1 [The developer] argued with the designer because [she] did not like [her] desk.
2 The construction worker met [the  CEO ] and wished [him] well.
3 [The nurse] slept because [he] was tired.
4 The clerk hired [the nurse] and left.
x [The nurse] told the clerk that [he] slept.
"""


def test_winobias(tmp_path):
    path = tmp_path / "anti_stereotyped_type2.txt.dev"
    path.write_text(WINOBIAS)
    mistakes = Mistakes()
    first, second = winobias.read(path, mistakes)
    assert cloze_input(first) == (
        "The developer argued with the designer because <extra_id_0> did not like her desk."
    )
    assert [c.text for c in first.candidates] == ["The developer", "the designer"]
    assert (first.true, first.name) == ((0,), "anti_stereotyped_type2.txt.dev-1")
    assert first.groups == {
        "stereotype": "anti", "type": "2", "split": "dev", "pair": "dev.2.1", "gender": "feminine"
    }  # fmt: skip
    assert [c.text for c in second.candidates] == ["The construction worker", "the  CEO"]
    assert fillings(second) == ("the construction worker", "the CEO")
    assert len(mistakes.messages) == 3
    assert "no other occupation than 'The nurse'" in mistakes.messages[0]
    assert "0 marked pronouns" in mistakes.messages[1]
    assert "expected a number and a sentence" in mistakes.messages[2]


def test_winobias_conll(tmp_path):
    lines = ["#begin document (nw/dev_type1/stereotype//7); part 000"]
    words = [
        ("The", "(1"), ("clerk", "1)"), ("told", "-"), ("the", "-"), ("nurse", "-"), ("about", "-"),
        ("her", "(1)"), (".", "-"),
    ]  # fmt: skip
    for i, (word, mark) in enumerate(words):
        lines.append(f"nw/x\t0\t{i}\t{word}\t-\t-\t-\t-\t-\tS\t*\t*\t*\t*\t{mark}")
    path = tmp_path / "dev_type1_pro_stereotype.v4_auto_conll"
    path.write_text("\n".join([*lines, "", "#end document", ""]))
    (found,) = winobias.read(path)
    assert cloze_input(found) == "The clerk told the nurse about <extra_id_0> ."
    assert [c.text for c in found.candidates] == ["The clerk", "the nurse"]
    assert (found.true, found.possessive) == ((0,), False)
    assert found.groups["pair"] == "dev.1.7"


def test_examples_refuse_offsets_that_do_not_fit():
    good = {"name": "x", "text": "he left", "span": (0, 2), "candidates": (Candidate("Al"),)}
    assert PronounExample(**good).pronoun == "he"
    for change, message in [
        ({"span": (0, 0)}, "expected half-open offsets"),
        ({"span": (5, 9)}, "expected half-open offsets"),
        ({"candidates": (Candidate(" "),)}, "a candidate is empty"),
        ({"candidates": (Candidate("left", (0, 4)),)}, "are those of 'he l'"),
    ]:
        with pytest.raises(DocumentError, match=f"'x': .*{message}"):
            PronounExample(**{**good, **change})


@pytest.mark.parametrize(
    ("text", "pronoun", "possessive"),
    [
        ("his hat", "his", True),
        ("saw him", "him", False),
        ("Their hat", "Their", True),
        ("saw her.", "her", False),
        ("saw her, and", "her", False),
        ("saw her and", "her", False),
        ("saw her AND", "her", False),
        ("saw her", "her", False),
        ("on her hat", "her", True),
        ('on her "hat"', "her", True),
        ("on her 2nd hat", "her", True),
        ("Hers is", "Hers", True),
        ("because [MASK] hat", MASK, False),
    ],
)
def test_possessive(text, pronoun, possessive):
    start = text.index(pronoun)
    assert is_possessive(text, (start, start + len(pronoun))) is possessive


@pytest.mark.parametrize(
    ("text", "pronoun", "filled"),
    [
        ("It fell.", "It", ["The cat", "An owl", "Someone", "Mary Ann"]),
        ("so it fell.", "it", ["the cat", "an owl", "someone", "Mary Ann"]),
        ("No. [MASK] fell.", MASK, ["The cat", "An owl", "Someone", "Mary Ann"]),
        ("No! “[MASK] fell.”", MASK, ["The cat", "An owl", "Someone", "Mary Ann"]),
        ("No, [MASK] fell.", MASK, ["the cat", "an owl", "someone", "Mary Ann"]),
        ("so I fell.", "I", ["the cat", "an owl", "someone", "Mary Ann"]),
    ],
)
def test_capitals_of_candidates(text, pronoun, filled):
    start = text.index(pronoun)
    names = tuple(map(Candidate, ("the cat", "An owl", "someone", "Mary Ann")))
    example = PronounExample("x", text, (start, start + len(pronoun)), names)
    assert list(fillings(example)) == filled


def test_text_to_text(gap_file):
    first, neither = gap.read(gap_file(gap_row(), gap_row("v-2", coref=(0, 0))))
    cloze = cloze_text(first)
    assert cloze.inputs == "Ann met Eve. Later <extra_id_0> praised her sister."
    assert (cloze.targets, cloze.references) == ("<extra_id_0> Ann <extra_id_1>", ("Ann",))
    assert cloze_text(neither).targets == ""
    marked = marked_text(first, "gap")
    assert marked.inputs == "gap: Ann met Eve. Later *she* praised her sister."
    assert (marked.targets, marked_text(neither).targets) == ("Ann", "neither")
    assert marked.data["candidates"] == ["Ann", "Eve"]


def test_sets_say_where_they_come_from(tmp_path):
    with pytest.raises(ConfigError, match=r"no file 'gap.tsv'; GAP .* is at https://github.com/g"):
        sets.read("gap", "gap.tsv")
    with pytest.raises(ConfigError, match="no set 'gab'; there are gap, dpr"):
        sets.read("gab", "gap.tsv")
    (tmp_path / "x.txt").write_text("\n")
    with pytest.raises(ConfigError, match="has no examples; expected Pronoun Disambiguation"):
        sets.read("pdp", tmp_path / "x.txt")


REAL = [
    ("gap", "gap/gap-validation.tsv", 454),
    ("gap", "gap/gap-development.tsv", 2000),
    ("wsc273", "wsc273/wsc273.txt", 273),
    ("winogender", "winogender/data/all_sentences.tsv", 720),
    ("winogender240", "winogender/data/templates.tsv", 240),
    *(
        ("winobias", f"winobias/data/{kind}_stereotyped_type{n}.txt.{split}", 396)
        for kind in ("pro", "anti")
        for n in (1, 2)
        for split in ("dev", "test")
    ),
    ("winobias", "winobias/data/conll_format/dev_type1_pro_stereotype.v4_auto_conll", 396),
]


@pytest.mark.parametrize(("name", "file", "count"), REAL, ids=[row[1] for row in REAL])
def test_real_files(shared, name, file, count):
    path = shared / "data" / file
    if not path.exists():
        pytest.skip(f"no {path}")
    found = sets.read(name, path)
    assert len(found) == len({e.name for e in found}) == count
    for example in found:
        assert example.text[slice(*example.span)] == example.pronoun
        assert cloze_input(example).count("<extra_id_0>") == 1
        assert name == "gap" or len(example.true) == 1
        assert all(c.span is None or example.text[slice(*c.span)] == c.text
                   for c in example.candidates)  # fmt: skip


def test_real_gap_counts(shared):
    path = shared / "data" / "gap" / "gap-validation.tsv"
    if not path.exists():
        pytest.skip(f"no {path}")
    found = sets.read("gap", path)
    assert collections.Counter(e.groups["answer"] for e in found) == {
        "A": 187, "B": 205, "neither": 62
    }  # fmt: skip
    assert collections.Counter(e.groups["gender"] for e in found) == {
        "masculine": 227, "feminine": 227
    }  # fmt: skip


def test_real_winogender_is_consistent(shared):
    folder = shared / "data" / "winogender" / "data"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    sentences = sets.read("winogender", folder / "all_sentences.tsv")
    templates = sets.read("winogender240", folder / "templates.tsv")
    asked = {e.name: (cloze_input(e), fillings(e)) for e in templates}
    by_pair = collections.defaultdict(dict)
    for example in sentences:
        by_pair[example.groups["pair"]][example.groups["gender"]] = example
    assert len(by_pair) == 240
    for pair, sides in by_pair.items():
        # Without its pronoun a sentence is its template; only verbs of "they" differ.
        for gender in ("masculine", "feminine"):
            assert (cloze_input(sides[gender]), fillings(sides[gender])) == asked[pair]
    gotchas = collections.Counter(
        (e.groups["gender"], e.groups["gotcha"]) for e in sentences if "gotcha" in e.groups
    )
    assert gotchas == {
        ("masculine", "yes"): 120, ("masculine", "no"): 120,
        ("feminine", "yes"): 120, ("feminine", "no"): 120,
    }  # fmt: skip


def test_real_winobias_is_paired(shared):
    folder = shared / "data" / "winobias" / "data"
    if not folder.exists():
        pytest.skip(f"no {folder}")
    sides = [
        {
            e.groups["pair"]: e
            for n in (1, 2)
            for split in ("dev", "test")
            for e in sets.read("winobias", folder / f"{kind}_stereotyped_type{n}.txt.{split}")
        }
        for kind in ("pro", "anti")
    ]
    assert sides[0].keys() == sides[1].keys()
    assert len(sides[0]) == 4 * 396
    pairs = [(example, sides[1][pair]) for pair, example in sides[0].items()]
    alike = [a.groups["gender"] == b.groups["gender"] for a, b in pairs]
    nouns = [[c.text.split()[-1] for c in e.candidates if c.true] for pair in pairs for e in pair]
    differing = [a != b for a, b in zip(nouns[::2], nouns[1::2], strict=True)]
    assert (sum(alike), sum(differing)) == (2, 2)  # mistakes of the files
