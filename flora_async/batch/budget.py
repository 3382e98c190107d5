"""What a batch may spend, and has spent, in USD."""

import math

from attrs import define, field


class Sum:
    """A sum of floats that is exact however many there are: `math.fsum`, one number at a time (Shewchuk, 1997)."""

    __slots__ = ("_partials",)

    def __init__(self) -> None:
        self._partials: list[float] = []

    def add(self, number: float) -> None:
        """Add one number."""
        # The partials do not overlap, so they stay few and hold the sum without rounding.
        partials: list[float] = []
        for partial in self._partials:
            larger, smaller = (number, partial) if abs(number) >= abs(partial) else (partial, number)
            number = larger + smaller
            rest = smaller - (number - larger)
            if rest:
                partials.append(rest)
        self._partials = [*partials, number]

    def total(self, *more: float) -> float:
        """The sum, with `more` added, rounded once."""
        return math.fsum((*self._partials, *more))


@define
class Budget:
    """Keeps what is spent plus what may yet be spent within a limit.

    A run is reserved for before it starts, at the technique's price or at that of the dearest run seen so far,
    and settled at what FLORA says it cost.

    Attributes:
        max_cost: The limit in USD; None = no limit.
        price: What the next run is expected to cost in USD; None while nobody knows.
    """

    max_cost: float | None
    price: float | None = None
    _spent: Sum = field(factory=Sum, init=False)
    _reserved: int = field(default=0, init=False)

    @property
    def spent(self) -> float:
        """What the runs that have ended cost, in USD."""
        return self._spent.total()

    def allows_start(self) -> bool:
        """Whether another run can be started now without any risk of passing the limit."""
        if self.max_cost is None:
            return True
        if self.price is None:  # one run goes first, to tell the price
            return self._reserved == 0 and self.spent < self.max_cost
        return self._spent.total(*[self.price] * (self._reserved + 1)) <= self.max_cost

    def expect(self, price: float | None) -> None:
        """Learn what a run may cost; the dearest counts."""
        if price is not None:
            self.price = price if self.price is None else max(self.price, price)

    def reserve(self) -> None:
        """Set the price of one run aside."""
        self._reserved += 1

    def settle(self, cost: float | None) -> None:
        """Put what a run has cost in the place of what was set aside; None = nobody knows, so its price."""
        self._reserved -= 1
        self.book(self.price if cost is None else cost)

    def release(self) -> None:
        """Give back what was set aside for a run that was not started."""
        self._reserved -= 1

    def book(self, cost: float | None) -> None:
        """Count a cost, and learn from it what runs cost."""
        if cost is not None:
            self._spent.add(cost)
            self.expect(cost)
