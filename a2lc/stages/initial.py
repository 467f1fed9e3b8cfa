"""Round 0: the initial masks and the model trained on them. They do not depend on the method, so runs share them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.config import Experiment
from a2lc.datasets import Dataset
from a2lc.files import damaged, differences, fingerprint, locked, read_json, remove_leftovers, write_json
from a2lc.machine import MissingExtraError, surroundings
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram
from a2lc.pseudo_labels.own_labels import label_hashes
from a2lc.pseudo_labels.sources import make_masks
from a2lc.runs import SHARED, RoundFolder, Run, StageFolder
from a2lc.segmenter import Segmenter, SegmenterSettings, ignoring_void
from a2lc.segmenter.settings import PLACES
from a2lc.stages.context import Context, evaluate
from a2lc.stages.names import LABEL_HASHES, data_hash, masks_name


def initial_masks(config: Experiment, dataset: Dataset, runs_dir: Path, progress: bool) -> tuple[MaskSet, Path]:
    """The masks of a dataset before any correction, made once and kept in ``<runs_dir>/shared``.

    Masks read from folders are kept per pair of folders: remove the kept copy when the files in them change.

    Returns:
        The masks, and the folder in which they lie together with the round-0 models.

    Raises:
        FileNotFoundError: a folder or file of masks is missing.
        ValueError: masks or labels do not fit the images (`MaskSet.from_folders`, `own_label_masks`); an image lacks
            the ground truth or the labels that masks are made from; or a kept file is damaged.
    """
    folder = runs_dir / SHARED / masks_name(config.pseudo_labels, dataset)
    if not (folder / "masks.json").is_file():
        with locked(folder):
            if not (folder / "masks.json").is_file():
                remove_leftovers(folder)
                if config.pseudo_labels.kind == "own_labels":  # which of them change later, is found by these
                    write_json(folder / LABEL_HASHES, label_hashes(dataset.train))
                make_masks(config.pseudo_labels, dataset, progress).save(folder)
    return MaskSet.load(folder), folder


def initial_model(model: Segmenter, context: Context, masks: MaskSet, shared: Path, run: Run) -> None:
    """Bring `model` to round 0: train it on the initial labels, or load what another run of the same dataset and seed
    has trained, with a note where that was elsewhere.

    Raises:
        ValueError: the kept model was trained with other settings or started from other weights, or a file of it is
            damaged.
    """
    config, dataset, folder = context.config, context.dataset, run.folder(0)
    training = {"segmenter": config.identity()["segmenter"], "class": type(model).__qualname__, "seed": config.seed}
    chosen = {
        **training,
        "segmenter": config.segmenter.model_dump(mode="json", exclude_defaults=True, exclude=PLACES),
    }
    if sha256 := getattr(model, "pretrained_from", {}).get("sha256"):
        training["weights"] = sha256
    path = shared / f"model-s{config.seed}-{fingerprint(chosen)}"
    with locked(path):
        kept, settings, made_with = StageFolder(path), path / "training.json", surroundings()
        if settings.is_file():
            found = read_json(settings, "segmenter")
            made_with = found.pop("made_with", made_with)
            try:
                found["segmenter"] = SegmenterSettings(**found["segmenter"]).model_dump(mode="json", exclude=PLACES)
            except (TypeError, ValueError) as error:  # no object, or of other fields
                raise damaged(settings, str(error)) from error
            if wrong := differences(training, found):
                raise ValueError(f"{path}: holds another model: {'; '.join(wrong)}. Remove it to train it again.")
        if kept.begin("trained"):
            remove_leftovers(path)
            write_json(settings, training | {"made_with": (made_with := surroundings())})
            seed = int(np.random.SeedSequence([config.seed, 0]).generate_state(1)[0])
            labels = ignoring_void(masks.label_map, dataset.classes)
            model.fit(dataset.train, labels, seed=seed, progress=context.progress)
            model.save(path / "segmenter.safetensors")
            scores = {"data": context.data_metrics(masks), "model": evaluate(model, dataset)}
            kept.write_metrics(round=0, clicks=0, queried=0, **scores)
            kept.end("trained")
    model.load(path / "segmenter.safetensors")
    note_surroundings(run, made_with)
    if not folder.done("trained"):
        masks.save_state(folder.path / "masks.parquet")
        folder.take_over(kept)


def start_without_model(masks: MaskSet, context: Context, folder: RoundFolder) -> None:
    """Round 0 where no model is needed; images without labels have no Data mIoU either."""
    if not folder.done("trained"):
        masks.save_state(folder.path / "masks.parquet")
        folder.begin("trained")
        data = None if context.config.from_superpixels else context.data_metrics(masks)
        folder.write_metrics(round=0, clicks=0, queried=0, data=data, model=None)
        folder.end("trained")


def note_surroundings(run: Run, made_with: dict[str, Any]) -> None:
    """Note in a run's provenance, under ``also``, in what a part of it was computed otherwise than the provenance says:
    a model that it took over, rounds that were played when it was continued elsewhere."""
    file = run.path / "provenance.json"
    proof = read_json(file, "data")
    other = {name: value for name, value in made_with.items() if value != proof.get(name)}
    if other and other not in (noted := proof.get("also", [])):
        write_json(file, proof | {"also": [*noted, other]})


def check_truth(run: Run, truth: TruthHistogram | None) -> None:
    """Note by which ground truth a run is measured, and refuse another one later.

    Raises:
        ValueError: the ground truth is not the one that the run began with.
    """
    if truth is None:
        return
    digest = hashlib.sha256(truth.counts.tobytes() + truth.uncovered.tobytes()).hexdigest()[:16]
    began = (folder := run.folder(0)).state.truth
    if began is None:
        folder.change(truth=digest)
    elif began != digest:
        found = f"its ground truth has changed since it began (wanted {began}, found {digest})"
        raise ValueError(f"{run.path}: {found}: put it back, or choose another runs_dir")


def _backbone(model: Segmenter) -> dict[str, Any]:
    """Which weights the model's backbone starts from, as an entry of a provenance, where it says so."""
    try:
        found = getattr(model, "pretrained_from", {})
    except (OSError, ValueError, MissingExtraError) as error:  # a finished run is read without them
        found = str(error)
    return {"backbone": found} if found else {}


def run_provenance(dataset: Dataset, masks: MaskSet, shared: Path, model: Segmenter) -> dict[str, Any]:
    """Provenance of a run: what it was computed from (``data``, checked when a run is continued), with which packages
    and on what."""
    columns = masks.table[["mask_id", "area", "initial_label"]].to_numpy(np.int64)
    return {
        "data": {
            "images": data_hash(dataset),
            "masks": hashlib.sha256(columns.tobytes()).hexdigest()[:16],
            "segmenter": type(model).__qualname__,
        },
        "masks": shared.name,
        **_backbone(model),
        **surroundings(),
        "device": str(getattr(model, "device", "unknown")),
        "precision": getattr(model, "precision", "unknown"),
    }
