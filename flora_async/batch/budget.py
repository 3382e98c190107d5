"""What a batch may spend and has spent, in USD."""

from collections import Counter
from decimal import Context, Decimal
from typing import Final

from attrs import define, field

from flora_async.models._codec.scalars import MAX_COST

# Costs are decimals in FLORA's JSON, and added as such: exact in any order, whatever the caller's decimal context.
_EXACT: Final = Context(prec=60)
_NOTHING: Final = Decimal(0)


def believable(usd: float | None) -> float | None:
    """Return a cost or price that the server named, or None where it is missing or impossible."""
    return usd if usd is not None and 0 <= usd <= MAX_COST else None


def _exactly(usd: float) -> Decimal:
    return Decimal(repr(usd))


@define
class Budget:
    """Keeps what has been spent, plus what may still be spent, within a limit.

    An amount is reserved for each run before it starts: the price of its subject (a technique, model or action), or the
    cost of the most expensive run of it so far. It is replaced by the cost that FLORA names. A subject of "" is not
    known, and priced as the most expensive one that is.

    Attributes:
        max_cost: The limit in USD; None = no limit.
    """

    max_cost: float | None
    _prices: dict[str, float] = field(factory=dict, init=False)
    _spent: Decimal = field(default=_NOTHING, init=False)
    _reserved: Counter[str] = field(factory=Counter, init=False)
    _owed: Counter[str] = field(factory=Counter, init=False)

    @property
    def spent(self) -> float:
        """The cost of the runs that have ended, in USD; those whose cost is not known count at the price."""
        return float(_EXACT.add(self._spent, self._at_price(self._owed)))

    @property
    def is_settled(self) -> bool:
        """Whether the cost of every run is known."""
        return not self._reserved and not self._owed

    def price_of(self, subject: str) -> float | None:
        """The expected cost of the next run of a subject in USD; None while it is not known."""
        return self._prices.get(subject) if subject else max(self._prices.values(), default=None)

    def allows_start(self, subject: str = "") -> bool:
        """Whether another run can be started now without any risk of passing the limit."""
        if self.max_cost is None:
            return True
        open_ = [*self._reserved, *self._owed]
        price = self.price_of(subject)
        if price is None:  # the first run goes alone, to find out the price
            return not open_ and self._spent < _exactly(self.max_cost)
        if any(self.price_of(other) is None for other in open_):
            return False
        at_risk = _EXACT.add(self._at_price(self._reserved), self._at_price(self._owed))
        total = _EXACT.add(_EXACT.add(self._spent, at_risk), _exactly(price))
        return total <= _exactly(self.max_cost)

    def expect(self, price: float | None, subject: str = "") -> None:
        """Learn what a run may cost; the highest price counts."""
        if price is not None:
            self._prices[subject] = max(price, self._prices.get(subject, price))

    def reserve(self, subject: str = "") -> None:
        """Reserve the price of one run."""
        self._reserved[subject] += 1

    def settle(self, cost: float, subject: str = "") -> None:
        """Replace a reservation by the cost of its run."""
        _take(self._reserved, subject)
        self.book(cost, subject)

    def release(self, subject: str = "") -> None:
        """Cancel the reservation of a run that is not charged."""
        _take(self._reserved, subject)

    def defer(self, subject: str = "") -> None:
        """Replace a reservation by the price, until the cost of its run is known."""
        _take(self._reserved, subject)
        self.owe(subject)

    def owe(self, subject: str = "") -> None:
        """Count a run at the price, until its cost is known."""
        self._owed[subject] += 1

    def pay(self, cost: float, subject: str = "") -> None:
        """Replace the price of a run by its cost."""
        _take(self._owed, subject)
        self.book(cost, subject)

    def book(self, cost: float, subject: str = "") -> None:
        """Add a cost, and raise the expected price to it."""
        self._spent = _EXACT.add(self._spent, _exactly(cost))
        self.expect(cost, subject)

    def _at_price(self, counts: Counter[str]) -> Decimal:
        total = _NOTHING
        for subject, count in counts.items():
            price = self.price_of(subject)
            if price is not None:
                total = _EXACT.add(total, _EXACT.multiply(_exactly(price), count))
        return total


def _take(counts: Counter[str], subject: str) -> None:
    """Count one less of a subject; an older journal may not have recorded what its run is of."""
    found = subject if counts[subject] else ""
    counts[found] -= 1
    if not counts[found]:
        del counts[found]
    if not counts[subject]:
        del counts[subject]
