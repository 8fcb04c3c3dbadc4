"""A teacher as one stage asks it: its name for people, who pays, and at which price."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cogumi_core.api.errors import PluginError, UsageError
from cogumi_core.api.interfaces import BatchTeacher, Teacher
from cogumi_core.api.types import JSON, CompletionRequest, Price
from cogumi_core.calls.books import Purchase, purchase
from cogumi_core.calls.boundary import Checked, called, seconds_of
from cogumi_core.calls.budget import worst_case
from cogumi_core.calls.desk import Desk
from cogumi_core.calls.ledger import Payer
from cogumi_core.calls.request import Call, refuse_secrets
from cogumi_core.plugins.guard import unguarded


@dataclass(frozen=True)
class Account:
    """`teacher` is the bare one, without its guard; `price` is that of a batch where batches are wanted."""

    teacher: Any
    identity: Mapping[str, JSON]
    payer: Payer
    price: Price | None
    seconds: float
    batches: bool

    @classmethod
    def of(cls, stage: Desk, guarded: Teacher) -> Account:
        """Raises PluginError for an identity that holds a secret or is none, UsageError for an unknown price under a budget."""
        paid, teacher = stage.paid, unguarded(guarded)
        identity: object = teacher.identity
        if not isinstance(identity, Mapping):
            message = (
                f"the identity of {type(teacher).__name__} is {type(identity).__name__}; it must be a mapping, see Teacher"
            )
            raise PluginError(message)
        refuse_secrets(identity, paid.environ)
        name = str(identity.get("provider", type(teacher).__name__))
        batches = isinstance(teacher, BatchTeacher) and bool(teacher.wants_batches)
        price = teacher.batch_price if batches else teacher.price
        if paid.budget.limited and price is None:
            message = (
                f"the price of teacher '{name}' is not known, so {_limit(paid.budget.usd, paid.budget.max_cost)} cannot "
                "be kept; set its price, or remove the budget"
            )
            raise UsageError(message)
        budget = paid.budget
        payer = Payer(budget.root, paid.recipe, budget.run, stage.name, name)
        return cls(teacher, identity, payer, price, seconds_of(teacher, paid.policy.call_seconds), batches)

    @property
    def name(self) -> str:
        return self.payer.teacher

    def worst(self, request: CompletionRequest) -> float:
        """The most that this request can cost, in US dollars."""
        return worst_case(self.price, request)

    def purchase(self, call: Call, checked: Checked, worst: float) -> Purchase:
        """What an answer cost, on this account."""
        return purchase(call, checked, self.payer, self.price, worst)

    async def called(self, method: Callable[[], Awaitable[object]]) -> object:
        """What one of the teacher's methods gives, within its deadline."""
        return await called(self.name, method, self.seconds)


def _limit(usd: float | None, max_cost: float | None) -> str:
    return f"the limit of ${max_cost:.2f} for this run" if usd is None else f"the budget of ${usd:.2f}"
