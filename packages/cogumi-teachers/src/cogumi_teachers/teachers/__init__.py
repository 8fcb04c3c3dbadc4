"""Who answers prompts. How answers are paid for, stored and tried again is the paid-call engine's."""

from __future__ import annotations

from cogumi_core import Component

COMPONENTS = (
    Component(
        "teacher",
        "local",
        "a model file on this computer, run by an installed engine",
        config="cogumi_teachers.teachers.settings:LocalSettings",
        factory="cogumi_teachers.teachers.local:LocalTeacher",
        version="2",
        uses=frozenset({"student"}),
    ),
    Component(
        "teacher",
        "reference",
        "the source's own answer, where it has one",
        config="cogumi_teachers.teachers.settings:ReferenceSettings",
        factory="cogumi_teachers.teachers.reference:ReferenceTeacher",
        version="2",
    ),
)
