"""Components that fit a student on a data set. The loop that they share is in `training`, opening a student in `students`."""

from __future__ import annotations

from typing import Final

from cogumi_core import Component

COMPONENTS: Final = (
    Component(
        "trainer",
        "qlora",
        "low-rank adapters on a student, 4-bit where a GPU allows it, merged into the student afterwards",
        config="cogumi_modifiers.trainers.settings:QloraSettings",
        factory="cogumi_modifiers.trainers.qlora:Qlora",
        requires=(("train", "torch"), ("train", "transformers"), ("train", "peft"), ("train", "trl"), ("train", "gguf")),
        accepts=frozenset({"hf", "gguf"}),
        produces="hf",
    ),
)
