"""The ratios that a release must show, each with its goal and with what is the least."""

from dataclasses import dataclass

from results import Results, Spread


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One case beside another; `number`: a processor time, a rate or a wait."""

    told: str
    part: str
    case: str
    against: str
    floor: str
    """What it is compared with, in words."""
    goal: float
    least: float
    number: str = "cpu_us"

    def of(self, results: Results, when: str = "now") -> Spread | None:
        """Read it from the results; `before`: of the older tree, in the same run."""
        than = "before" if self.against == self.case else "now"
        if than == "before" and when == "before":
            return None
        return results.ratio(self.part, self.case, self.against, self.number, when=when, than=than)

    def verdict(self, found: Spread | None) -> str:
        """Say whether the goal is met, or the least, or neither."""
        if found is None:
            return "not measured"
        sign = 1 if self.is_lower_better else -1
        bounds = {"goal": self.goal, "enough": self.least}
        met = [told for told, bound in bounds.items() if sign * found.middle <= sign * bound]
        return met[0] if met else "no"

    @property
    def is_lower_better(self) -> bool:
        """Tell whether less is better."""
        return self.number != "per_second"


ECHO, ARTICLE = "a bare echo", "the article's service"
RATIOS = (
    Ratio(
        told="an order accepted, a call each, 64 in flight",
        part="core", case="accept", against="echo", floor=ECHO, goal=1.10, least=1.20,
    ),
    Ratio(
        told="its whole life, 64 workers",
        part="core", case="life, 64 workers", against="echo", floor=ECHO, goal=1.35, least=1.60,
    ),
    Ratio(
        told="its whole life, 8 workers",
        part="core", case="life, 8 workers", against="echo", floor=ECHO, goal=1.55, least=1.80,
    ),
    Ratio(
        told="its whole life, one in flight",
        part="core", case="life, 1 in flight", against="echo, 1 in flight", floor=ECHO,
        goal=3.5, least=4.5,
    ),
    Ratio(
        told="accepted in a batch of 500",
        part="core", case="batch accept", against="row", floor="a raw SQLite row",
        goal=7.0, least=9.0,
    ),
    Ratio(
        told="its whole life in a batch of 500, 64 workers",
        part="core", case="batch life, 64 workers", against="article", floor=ARTICLE,
        goal=0.80, least=1.0,
    ),
    Ratio(
        told="accepted on PlaceOrders calls, 1 in a message, 64 in flight",
        part="core", case="placing 1, 8 calls, accept", against="echo", floor=ECHO,
        goal=0.60, least=0.70,
    ),
    Ratio(
        told="its whole life on PlaceOrders calls, 10 in a message, 64 workers",
        part="core", case="placing 10, 8 calls, life", against="article", floor=ARTICLE,
        goal=0.95, least=1.1,
    ),
    Ratio(
        told="catching up from the log, 20 readers",
        part="streams", case="log, 20 readers", against="bare, 20 readers",
        floor="a bare stream's rate", goal=0.45, least=0.35, number="per_second",
    ),
    Ratio(
        told="its whole life with a worker elsewhere, 16 slots",
        part="workers", case="remote", against="in process", floor="a handler in process",
        goal=1.35, least=1.60,
    ),
    Ratio(
        told="a receipt's p99 while supervised handlers do the worst",
        part="misdeeds", case="bad", against="good", floor="as many good ones",
        goal=1.1, least=1.2, number="p99_ms",
    ),
    Ratio(
        told="so, with --worker-scheduling idle",
        part="misdeeds", case="bad, idle", against="alone", floor="nothing else",
        goal=1.1, least=1.2, number="p99_ms",
    ),
    Ratio(
        told="whole lives on PostgreSQL, 2 servers",
        part="postgres", case="lives, 2 servers", against="lives, 2 servers",
        floor="the same before", goal=1.5, least=1.2, number="per_second",
    ),
)  # fmt: skip
