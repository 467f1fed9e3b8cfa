"""Class list -> prompt -> tokens -> class: against slow versions, and against the table of the released code."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2lc.datasets import Classes
from a2lc.datasets.base import bit_palette
from a2lc.datasets.cityscapes import CLASSES as CITYSCAPES
from a2lc.datasets.voc2012 import NAMES as VOC
from a2lc.pseudo_labels.prompts import MAX_TOKENS, ClassPrompt, build_prompt, written_names

transformers = pytest.importorskip("transformers")

# Token ids of bert-base-uncased, from the tables `num_dic` of the released run_cityscapes.py and run_pascal.py.
BERT_IDS = {
    "road": 2346, "sidewalk": 11996, "building": 2311, "wall": 2813, "fence": 8638, "pole": 6536, "traffic": 4026,
    "##light": 7138, "##si": 5332, "##gn": 16206, "vegetation": 10072, "terrain": 9291, "sky": 3712, "person": 2711,
    "rider": 7945, "car": 2482, "truck": 4744, "bus": 3902, "train": 3345, "motorcycle": 9055, "bicycle": 10165,
    "aero": 18440, "##plane": 11751, "bird": 4743, "boat": 4049, "bottle": 5835, "cat": 4937, "chair": 3242,
    "cow": 11190, "dining": 7759, "##table": 10880, "dog": 3899, "horse": 3586, "motor": 5013, "##bi": 5638,
    "##ke": 3489, "pot": 8962, "##ted": 3064, "##pl": 24759, "##ant": 4630, "sheep": 8351, "sofa": 10682, "tv": 2694,
    "##mon": 8202, "##itor": 15660, "light": 2422, "sign": 3696, "[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102,
    "[MASK]": 103, ".": 1012, "?": 1029, "monitor": 8080, "table": 2795,
    **{letter: 1037 + k for k, letter in enumerate("abcdefghijklmnopqrstuvwxyz")},
}  # fmt: skip
RELEASED = {  # `num_dic` and `label_dic` in one: token id -> class id
    "cityscapes": {
        2346: 0, 11996: 1, 2311: 2, 2813: 3, 8638: 4, 6536: 5, 7138: 6, 4026: 7, 5332: 7, 16206: 7, 10072: 8, 9291: 9,
        3712: 10, 2711: 11, 7945: 12, 2482: 13, 4744: 14, 3902: 15, 3345: 16, 9055: 17, 10165: 18,
    },
    "voc2012": {
        18440: 1, 11751: 1, 10165: 2, 4743: 3, 4049: 4, 5835: 5, 3902: 6, 2482: 7, 4937: 8, 3242: 9, 11190: 10,
        7759: 11, 10880: 11, 3899: 12, 3586: 13, 5013: 14, 5638: 14, 3489: 14, 2711: 15, 8962: 16, 3064: 16, 24759: 16,
        4630: 16, 8351: 17, 10682: 18, 3345: 19, 2694: 20, 8202: 20, 15660: 20,
    },
}  # fmt: skip
RELEASED_PROMPTS = {
    "cityscapes": "road. sidewalk. building. wall. fence. pole. trafficlight. trafficsign. vegetation. terrain. sky. "
    "person. rider. car. truck. bus. train. motorcycle. bicycle.",
    "voc2012": "aeroplane. bicycle. bird. boat. bottle. bus. car. cat. chair. cow. diningtable. dog. horse. motorbike. "
    "person. pottedplant. sheep. sofa. train. tvmonitor.",
}


def class_list(*names: str, background: int | None = None) -> Classes:
    return Classes(names, bit_palette(len(names)), background=background)


LISTS = {"cityscapes": class_list(*CITYSCAPES), "voc2012": class_list(*VOC, background=0)}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> transformers.BertTokenizerFast:
    """Knows the words above, under the ids they have in bert-base-uncased."""
    words = [f"[unused{k}]" for k in range(max(BERT_IDS.values()) + 1)]
    for word, k in BERT_IDS.items():
        words[k] = word
    file = tmp_path_factory.mktemp("bert") / "vocab.txt"
    file.write_text("\n".join(words) + "\n")
    return transformers.BertTokenizerFast(vocab_file=str(file))


@pytest.mark.parametrize("dataset", ["cityscapes", "voc2012"])
def test_argmax_is_the_released_table(dataset: str, tokenizer: transformers.BertTokenizerFast) -> None:
    prompt = build_prompt(LISTS[dataset], tokenizer, rule="argmax")
    assert prompt.captions == (RELEASED_PROMPTS[dataset],)
    ids = tokenizer(prompt.captions[0])["input_ids"]
    positions = [k for k, token in enumerate(ids) if token in RELEASED[dataset]]
    probs = np.full((len(positions), MAX_TOKENS), 0.1, dtype=np.float32)
    probs[np.arange(len(positions)), positions] = 0.9
    found = prompt.assign(0, probs)
    assert found.labels.tolist() == [RELEASED[dataset][ids[k]] for k in positions]
    assert found.scores.tolist() == pytest.approx([0.9] * len(positions))
    assert set(ids) - {101, 102, 1012} == set(RELEASED[dataset])


def test_traffic_always_means_traffic_sign_under_argmax_only(tokenizer: transformers.BertTokenizerFast) -> None:
    """Deviation D11, and what the report says of it before anything runs."""
    released = build_prompt(LISTS["cityscapes"], tokenizer, rule="argmax")
    spans = build_prompt(LISTS["cityscapes"], tokenizer)
    for prompt, wanted in ((released, "traffic sign"), (spans, "traffic light")):
        light = next(name for name in prompt.names if name.class_id == 6)
        probs = np.zeros((1, MAX_TOKENS), dtype=np.float32)
        probs[0, light.start : light.stop] = 0.8, 0.3  # the word "traffic" of the traffic light is strongest
        found = prompt.assign(0, probs)
        assert LISTS["cityscapes"].names[found.labels[0]] == wanted
        assert found.phrases == (light.text,) and found.scores[0] == np.float32(0.8)
        assert prompt.shared == {"traffic": ("traffic light", "traffic sign")}
    shared = "token 'traffic' is shared by 'traffic light', 'traffic sign'"
    assert f"{shared}: always means 'traffic sign'" in released.report()
    assert f"{shared}: told apart by its position" in spans.report()
    assert "trafficlight traffic light 6 traffic ##light 13:15 0 trafficsign" in " ".join(released.report().split())
    assert not build_prompt(LISTS["voc2012"], tokenizer, rule="argmax").shared


@pytest.mark.parametrize("rule", ["spans", "argmax"])
def test_positions_are_those_of_the_whole_prompt(rule: str, tokenizer: transformers.BertTokenizerFast) -> None:
    prompt = build_prompt(LISTS["cityscapes"], tokenizer, {"car": ["cat", "dog"], "sky": ["tv monitor"]}, rule)
    ids = tokenizer(prompt.captions[0])["input_ids"]
    for name in prompt.names:
        assert tuple(ids[name.start : name.stop]) == name.token_ids
        assert ids[name.stop] == 1012  # the full stop that ends it
    assert len(ids) == prompt.names[-1].stop + 2


# ---------------------------------------------------------------------------------------------------- slow versions
def slow_spans(prompt: ClassPrompt, number: int, probs: list[float]) -> tuple[int, float, str]:
    best, score, phrase, strongest = -1, -1.0, "", 0.0
    for name in prompt.names:
        if name.prompt == number:
            tokens = probs[name.start : name.stop]
            strongest = max(strongest, *tokens)
            if sum(tokens) / len(tokens) > score + 1e-6:
                best, score, phrase = name.class_id, sum(tokens) / len(tokens), name.text
    return best, strongest, phrase


def slow_argmax(prompt: ClassPrompt, number: int, probs: list[float]) -> tuple[int, float, str]:
    table = {token: name.class_id for name in prompt.names for token in name.token_ids}
    best, score, phrase = -1, -1.0, ""
    for name in prompt.names:
        for k, token in enumerate(name.token_ids):
            if name.prompt == number and probs[name.start + k] > score:
                best, score, phrase = table[token], probs[name.start + k], name.text
    return best, score, phrase


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["spans", "argmax"]), st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_assignment_equals_the_slow_version(
    tokenizer: transformers.BertTokenizerFast, rule: str, seed: int, boxes: int
) -> None:
    rng = np.random.default_rng(seed)
    synonyms = {"car": ["dog", "dining table"], "sky": ["tv monitor"], "pole": ["motorbike"]}
    prompt = build_prompt(LISTS["cityscapes"], tokenizer, synonyms, rule)
    probs = rng.random((boxes, MAX_TOKENS)).astype(np.float32)  # [CLS], full stops and padding among them
    found = prompt.assign(0, probs)
    slow = slow_spans if rule == "spans" else slow_argmax
    wanted = [slow(prompt, 0, [float(p) for p in row]) for row in probs]
    assert found.labels.dtype == np.int64 and found.scores.dtype == np.float32
    assert list(zip(found.labels.tolist(), found.scores.tolist(), found.phrases, strict=True)) == wanted


def test_a_class_answers_to_any_of_its_names(tokenizer: transformers.BertTokenizerFast) -> None:
    prompt = build_prompt(class_list("car", "person"), tokenizer, {"person": ["rider", "tv monitor"]})
    assert prompt.captions == ("car. person. rider. tv monitor.",)
    assert prompt.table["class"].tolist() == ["car", "person", "person", "person"]
    probs = np.zeros((2, MAX_TOKENS), dtype=np.float32)
    probs[0, prompt.names[2].start], probs[0, prompt.names[0].start] = 0.6, 0.5
    probs[1, prompt.names[3].start], probs[1, prompt.names[0].start] = 0.8, 0.5  # the name's other token says 0
    found = prompt.assign(0, probs)
    assert found.labels.tolist() == [1, 0] and found.phrases == ("rider", "car")
    assert found.scores.tolist() == pytest.approx([0.6, 0.8])


def test_too_many_tokens_become_several_prompts(tokenizer: transformers.BertTokenizerFast) -> None:
    names = [f"{a} {b}" for a in "abcdefghij" for b in "klmnopqrst"]  # 100 names of two tokens and a full stop
    prompt = build_prompt(class_list(*names), tokenizer)
    lengths = [len(tokenizer(caption)["input_ids"]) for caption in prompt.captions]
    assert lengths == [254, 50]  # a name more would make 257
    assert [name.text for name in prompt.names] == names
    for name in prompt.names:
        ids = tokenizer(prompt.captions[name.prompt])["input_ids"]
        assert tuple(ids[name.start : name.stop]) == name.token_ids
    probs = np.zeros((1, MAX_TOKENS), dtype=np.float32)
    probs[0, 1:3] = 0.5
    assert [prompt.assign(k, probs).labels[0] for k in (0, 1)] == [0, 84]
    assert "2 prompts: the names have more than 256 tokens" in prompt.report()


@pytest.mark.parametrize(
    ("names", "synonyms", "message"),
    [
        (("car", " "), {}, "classes: expected names not empty, .*, found ' ?'"),
        (("car", "bus"), {"bus": [""]}, r"class 'bus': .* found the empty name ''"),
        (("car", "Car"), {}, r"class 'Car': the name 'car' is given twice, first for 'car'"),
        (("car", "bus"), {"bus": ["car"]}, r"class 'bus': the name 'car' is given twice, first for 'car'"),
        (("car", "bus"), {"bus": ["bus"]}, r"class 'bus': the name 'bus' is given twice, first for 'bus'"),
        (("st. bernard",), {}, r"a name holds no '\.' or '\?'.* found 'st\. bernard'"),
        (("car",), {"cat": ["dog"]}, r"unknown class 'cat'; did you mean 'car'\?"),
        (("car", "zażółć ☃"), {}, r"class 'zażółć ☃': BERT has no tokens for the name"),
        (("car", " ".join("a" * 254)), {}, r"254 tokens, expected < 254"),
    ],
)
def test_names_that_cannot_be_asked_for(
    names: tuple, synonyms: dict, message: str, tokenizer: transformers.BertTokenizerFast
) -> None:
    with pytest.raises(ValueError, match=message):
        build_prompt(class_list(*names), tokenizer, synonyms)


def test_the_longest_possible_name_fits(tokenizer: transformers.BertTokenizerFast) -> None:
    prompt = build_prompt(class_list("car", " ".join("a" * 253)), tokenizer)
    assert [len(tokenizer(caption)["input_ids"]) for caption in prompt.captions] == [4, 256]


def test_backgrounds_and_rules() -> None:
    with pytest.raises(ValueError, match="the background 'car' is not asked for"):
        written_names(class_list("car", "bus", background=0), {"car": ["van"]})
    for names in ("van", ["van", 4], None, False):  # YAML reads `car: no` as False
        with pytest.raises(ValueError, match=re.escape(f"expected a list of names for 'car', found {names!r}")):
            written_names(class_list("car", "bus"), {"car": names})
    with pytest.raises(ValueError, match="at least one class besides the background"):
        written_names(class_list("car", background=0))
    with pytest.raises(ValueError, match="expected one of spans, argmax, found 'span'; did you mean 'spans'"):
        written_names(class_list("car"), rule="span")
    with pytest.raises(ValueError, match="the name 'trafficlight' is given twice"):
        written_names(class_list("traffic light", "trafficlight"), rule="argmax")
    assert written_names(class_list("Traffic  Light", "trafficlight")) == {"traffic light": 0, "trafficlight": 1}
