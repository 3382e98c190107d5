"""What a batch may spend and has spent, in USD."""

from decimal import Context, Decimal
from typing import Final

from attrs import define, field

# Costs are decimals in FLORA's JSON, and added as such: exact in any order, whatever the caller's decimal context.
_EXACT: Final = Context(prec=60)
_NOTHING: Final = Decimal(0)


# More than any run costs, so a larger amount must be an error.
_MAX_COST: Final = 1_000_000.0


def believable(usd: float | None) -> float | None:
    """Return a cost or price that the server named, or None where it is missing or impossible."""
    return usd if usd is not None and 0 <= usd <= _MAX_COST else None


def _exactly(usd: float) -> Decimal:
    return Decimal(repr(usd))


@define
class Budget:
    """Keeps what has been spent, plus what may still be spent, within a limit.

    An amount is reserved for each run before it starts: the technique's price, or the cost of the most expensive run so
    far. It is replaced by the cost that FLORA names.

    Attributes:
        max_cost: The limit in USD; None = no limit.
        price: The expected cost of the next run in USD; None while it is not known.
    """

    max_cost: float | None
    price: float | None = None
    _spent: Decimal = field(default=_NOTHING, init=False)
    _reserved: int = field(default=0, init=False)
    _owed: int = field(default=0, init=False)

    @property
    def spent(self) -> float:
        """The cost of the runs that have ended, in USD; those whose cost is not known count at the price."""
        return float(_EXACT.add(self._spent, self._at_price(self._owed)))

    @property
    def is_settled(self) -> bool:
        """Whether the cost of every run is known."""
        return self._reserved == self._owed == 0

    def allows_start(self) -> bool:
        """Whether another run can be started now without any risk of passing the limit."""
        if self.max_cost is None:
            return True
        if self.price is None:  # the first run goes alone, to find out the price
            return self._reserved == self._owed == 0 and self._spent < _exactly(self.max_cost)
        at_risk = self._at_price(self._reserved + self._owed + 1)
        return _EXACT.add(self._spent, at_risk) <= _exactly(self.max_cost)

    def expect(self, price: float | None) -> None:
        """Learn what a run may cost; the highest price counts."""
        if price is not None:
            self.price = price if self.price is None else max(self.price, price)

    def reserve(self) -> None:
        """Reserve the price of one run."""
        self._reserved += 1

    def settle(self, cost: float) -> None:
        """Replace a reservation by the cost of its run."""
        self._reserved -= 1
        self.book(cost)

    def release(self) -> None:
        """Cancel the reservation of a run that is not charged."""
        self._reserved -= 1

    def defer(self) -> None:
        """Replace a reservation by the price, until the cost of its run is known."""
        self._reserved -= 1
        self.owe()

    def owe(self) -> None:
        """Count a run at the price, until its cost is known."""
        self._owed += 1

    def pay(self, cost: float) -> None:
        """Replace the price of a run by its cost."""
        self._owed -= 1
        self.book(cost)

    def book(self, cost: float) -> None:
        """Add a cost, and raise the expected price to it."""
        self._spent = _EXACT.add(self._spent, _exactly(cost))
        self.expect(cost)

    def _at_price(self, count: int) -> Decimal:
        return _NOTHING if self.price is None else _EXACT.multiply(_exactly(self.price), count)
