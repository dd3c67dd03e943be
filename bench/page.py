"""Writes docs/performance.md and its plots: the text of page.md, figures of results.json alone."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

from drawing import Line, Panel, Row, Stack, bars, number, panels, ranges, stacks
from parts import PARTS, growth
from parts.options import OPTIONS, PLAIN
from ratios import RATIOS
from results import Results, Spread
from rivals.table import RIVALS

from support.hostile_attacks import ATTACKS

TEMPLATE = Path(__file__).with_name("page.md")
WAITING = (0, 10_000, 100_000, 1_000_000, 5_000_000)
COSTS = {
    "echo": ("a bare echo, nothing stored", "floor"),
    "article": ("the article's service, in memory", "floor"),
    "accept": ("accepted, a call each", "ours"),
    "life, 8 workers": ("whole life, a call each, 8 workers", "ours"),
    "life, 64 workers": ("whole life, a call each, 64 workers", "ours"),
    "placing 1, 8 calls, accept": ("accepted, on PlaceOrders, 1 in a message", "ours"),
    "placing 10, 8 calls, accept": ("accepted, on PlaceOrders, 10 in a message", "ours"),
    "placing 10, 8 calls, life": ("whole life, on PlaceOrders, 10 in a message", "ours"),
    "batch accept": ("accepted, in batches of 500", "ours"),
    "batch life, 8 workers": ("whole life, in batches, 8 workers", "ours"),
    "batch life, 64 workers": ("whole life, in batches, 64 workers", "ours"),
    "row": ("a raw row into SQLite, 500 in a commit", "floor"),
}
EVENTS = (
    ("1,000 idle readers, KiB of memory each", "idle", "kib_each"),
    ("all of them with a heartbeat every 5 s, % of a core", "idle", "percent"),
    ("p50 of a reader, 400 completions a second, ms", "alone", "p50_ms"),
    ("its p99", "alone", "p99_ms"),
    ("p50 beside the idle ones", "beside the idle ones", "p50_ms"),
    ("p99 beside the idle ones", "beside the idle ones", "p99_ms"),
    ("p50 beside a frozen one too", "beside the idle ones and a frozen one", "p50_ms"),
    ("p99 beside a frozen one too", "beside the idle ones and a frozen one", "p99_ms"),
    ("an order's whole life with its reader, µs", "alone", "cpu_us"),
    ("the same beside all of them", "beside the idle ones and a frozen one", "cpu_us"),
    ("memory that grew meanwhile, MiB", "alone", "grown_mib"),
    ("the same beside all of them", "beside the idle ones and a frozen one", "grown_mib"),
)
"""What is told, of which case and number."""
PROFILED = (
    "echo",
    "accept",
    "life, 64 workers",
    "placing 10, 8 calls, life",
    "batch life, 64 workers",
)
THREADS = {"ours": "the event loop", "rival": "the store", "floor": "gRPC"}
WORKERS = (
    ("order started, p50, ms, at 500 a second", "started", "p50_ms"),
    ("its p99", "started", "p99_ms"),
    ("server's cores meanwhile", "started", "cores"),
    ("server's cores, 500 a second of 100 ms each", "100 ms", "cores"),
    ("receipt's p99, ms, while a handler blocks for 2 s", "blocked", "p99_ms"),
    ("killed, s until the order starts again", "killed", "again_s"),
)
"""What is told of each place where handlers run: of which cases and number."""
IDLE_WORKERS = (("KiB of memory each", "kib_each"), ("cores of all of them", "cores"))
SUBSCRIBERS = (
    ("10,000 idle subscribers, KiB of memory each", "idle", "kib_each"),
    ("those of a bare stream", "bare, idle", "kib_each"),
    ("a fast reader's p99 while 1,000 orders a second complete, ms", "alone", "p99_ms"),
    ("the same beside a slow and a frozen reader", "beside", "p99_ms"),
    ("the server's memory meanwhile, MiB more: the store's caches", "alone", "grown_mib"),
    ("the same beside them", "beside", "grown_mib"),
    ("the slow one, let loose behind the last order, got", "beside", "slow_got"),
)
"""What is told, of which case and number."""
FLIGHTS = {"1": ", 1 in flight", "8": ", 8 in flight", "64": ""}


class Page:
    """The blocks and plots that the text names, each of what was measured."""

    def __init__(self, results: Results) -> None:
        """Write of these."""
        self._results = results

    def cost(self) -> str:
        """Draw what an order costs."""
        rows = []
        for case, (told, kind) in COSTS.items():
            if now := self._results.spread("core", case, "cpu_us"):
                rows.append(Row(told=told, kind=kind, at=now))
            if before := self._results.spread("core", case, "cpu_us", "before"):
                name = "before" if now else f"{told}, before"
                rows.append(Row(told=name, kind="before", at=before))
        return bars("What an order costs", "µs of the server's processor time, each order", rows)

    def profile(self) -> str:
        """Draw in which threads an order's cost arises."""
        rows = []
        for case, when in product(PROFILED, ("now", "before")):
            threads = dict(zip(THREADS, ("loop_us", "store_us", "grpc_us"), strict=True))
            parts = {
                kind: at.middle
                for kind, thread in threads.items()
                if (at := self._results.spread("core", case, thread, when))
            }
            if parts:
                rows.append(Stack(told=COSTS[case][0] if when == "now" else when, parts=parts))
        unit = "µs of the server's processor time, each order, by thread"
        return stacks("Where it goes", unit, THREADS, rows) if rows else ""

    def latency(self) -> str:
        """Draw how long a receipt takes."""
        rows = []
        for flight, suffix in FLIGHTS.items():
            for case, told, kind in (("echo", "a bare echo", "floor"), ("accept", "ours", "ours")):
                if at := self._ends("core", case + suffix):
                    rows.append(Row(told=f"{told}, {flight} in flight", kind=kind, at=at))
            if at := self._ends("core", "accept" + suffix, "before"):
                rows.append(Row(told=f"before, {flight} in flight", kind="before", at=at))
        return ranges("How long a receipt takes", "ms: ● half of all, ○ 99 of 100", rows)

    def growth(self) -> str:
        """Draw how the cost grows."""
        steps = {
            "Subscribers that hear of each": ("subscribers", growth.SUBSCRIBERS, "subscribers"),
            "Payload": ("bytes", growth.PAYLOADS, "bytes"),
            "Workers": ("workers", growth.WORKERS, "workers"),
            "Calls in flight": ("in flight", growth.IN_FLIGHT, "in flight"),
        }
        drawn = [
            Panel(title=title, x=x, lines=self._lines(("growth",), xs, suffix))
            for title, (x, xs, suffix) in steps.items()
        ]
        drawn += [panel for panel in self._waiting() if panel.lines]
        unit = "µs of the server's processor time, each order's whole life"
        return panels("How the cost grows", unit, drawn)

    def _waiting(self) -> Iterator[Panel]:
        titles = {
            "": "VIP orders while others wait",
            "accept, ": "Only accepted, behind others that wait",
        }
        for case, title in titles.items():
            lines = self._lines(("waiting", "millions"), WAITING, "waiting", case)
            yield Panel(title=title, x="waiting", lines=lines)

    def _lines(
        self, parts: tuple[str, ...], xs: Iterable[int], suffix: str, ours: str = ""
    ) -> list[Line]:
        kinds = {ours: ("", "ours"), "echo, ": ("echo", "floor")}
        lines = []
        for prefix, (told, kind) in kinds.items():
            found = [(x, self._of(part, f"{prefix}{x:,} {suffix}")) for x in xs for part in parts]
            if points := [(float(x), at) for x, at in found if at]:
                lines.append(Line(told=told, kind=kind, points=points))
        return lines

    def _of(self, part: str, case: str) -> Spread | None:
        return self._results.spread(part, case, "cpu_us")

    def _ends(
        self,
        part: str,
        case: str,
        when: str = "now",
        numbers: tuple[str, str] = ("p50_ms", "p99_ms"),
    ) -> Spread | None:
        p50, p99 = (self._results.spread(part, case, each, when) for each in numbers)
        return Spread(p50.middle, p50.middle, p99.middle) if p50 and p99 else None

    def ratios(self) -> str:
        """Tell the ratios, with what they must be."""
        heads = ("what", "beside", "ratio", "of all turns", "before", "goal", "bound")
        return table(heads, self._ratios())

    def _ratios(self) -> Iterator[tuple[str, ...]]:
        for ratio in RATIOS:
            now, before = ratio.of(self._results), ratio.of(self._results, "before")
            yield (
                ratio.told,
                ratio.floor,
                f"**{now.middle:.2f}**" if now else "not measured",
                ends(now),
                f"{before.middle:.2f}" if before else "",
                f"{ratio.goal:g}",
                f"{ratio.least:g}",
            )

    def options(self) -> str:
        """Tell what options cost, beside none."""
        rows = [
            (name, *self._cells("options", name, "cpu_us"), f"{of.middle:.2f}", ends(of))
            for name in OPTIONS
            if (of := self._results.ratio("options", name, PLAIN))
        ]
        return table(("option", "µs an order", "of all turns", "of none", "of all turns"), rows)

    def streams(self) -> str:
        """Tell how fast subscribers read."""
        rows = []
        for case in self._cases("streams"):
            kind, _, readers = case.partition(", ")
            ratio = self._results.ratio("streams", case, f"bare, {readers}", "per_second")
            if readers and kind != "bare" and ratio:
                cells = (
                    *self._cells("streams", case, "per_second"),
                    *self._cells("streams", case, "cpu_us"),
                )
                told = f"the {kind}, {readers}"
                rows.append((told, *cells, f"{ratio.middle:.2f}", ends(ratio)))
        heads = (
            "what is read",
            "completions/s, over all",
            "",
            "µs each",
            "",
            "of the bare stream",
            "",
        )
        return table(heads, rows)

    def live(self) -> str:
        """Tell how late completions are with their subscribers."""
        cases = {
            ("streams", "live"): "SQLite",
            ("streams", "bare, live"): "a bare stream, from its write",
            ("postgres", "live, where it is processed"): "PostgreSQL, where it is processed",
            ("postgres", "live, at another server"): "PostgreSQL, at another server",
        }
        rows = [
            (told, number(at.low), number(at.high))
            for (part, case), told in cases.items()
            if (at := self._ends(part, case))
        ]
        return table(("subscriber", "p50, ms", "p99, ms"), rows)

    def http(self) -> str:
        """Tell what an order costs by HTTP."""
        rows = [
            (
                case,
                *self._cells("http", case, "cpu_us"),
                *self._cells("http", case, "per_second"),
            )
            for case in self._cases("http")
        ]
        return table(("an order", "µs", "of all turns", "orders/s", "of all turns"), rows)

    def events(self) -> str:
        """Tell what readers of server-sent events cost."""
        rows = [(told, *self._cells("events", case, number)) for told, case, number in EVENTS]
        return table(("what", "measured", "of all turns"), rows)

    def workers(self) -> str:
        """Tell what an order costs where its handler runs."""
        numbers = ("cpu_us", "worker_us", "calls_each", "per_second")
        heads = (
            "handler",
            "server, µs",
            "",
            "workers, µs",
            "",
            "calls an order",
            "",
            "orders/s",
            "",
        )
        cases = [case for case in self._cases("workers") if "," not in case and case != "idle"]
        rows = [
            (case, *(cell for each in numbers for cell in self._cells("workers", case, each)))
            for case in cases
        ]
        return table(heads, rows)

    def working(self) -> str:
        """Tell how soon orders start where handlers run elsewhere, and what else that changes."""
        places = ("in process", "supervised", "remote")
        rows = []
        for told, what, each in WORKERS:
            found = (self._results.spread("workers", f"{what}, {place}", each) for place in places)
            rows.append((told, *(number(at.middle) if at else "" for at in found)))
        for told, each in IDLE_WORKERS:
            at = self._results.spread("workers", "idle", each)
            rows.append((f"1,000 idle workers: {told}", "", "", number(at.middle) if at else ""))
        return table(("what", *places), rows)

    def misdeeds(self) -> str:
        """Tell what handlers that do the worst take from a polite caller."""
        told = {
            "alone": "nothing",
            "good": "good orders",
            "bad": "handlers do the worst",
            "bad, idle": "so, and --worker-scheduling idle",
        }
        rows = [
            (
                words,
                *self._cells("misdeeds", case, "p50_ms"),
                *self._cells("misdeeds", case, "p99_ms"),
            )
            for case, words in told.items()
        ]
        return table(("meanwhile", "p50, ms", "of all turns", "p99, ms", "of all turns"), rows)

    def postgres(self) -> str:
        """Tell what servers on one PostgreSQL do."""
        rows = [
            (
                case,
                *self._cells("postgres", case, "per_second"),
                *self._cells("postgres", case, "cpu_us"),
                *self._cells("postgres", case, "database_us"),
            )
            for case in self._cases("postgres")
            if not case.startswith("live,")
        ]
        heads = ("what", "orders/s", "", "servers, µs an order", "", "database, µs an order", "")
        return table(heads, rows)

    def waiting(self) -> str:
        """Tell what a long backlog costs."""
        numbers = ("cpu_us", "p50_ms", "p99_ms", "ready_s", "memory_mib")
        rows = []
        for part, count in product(("waiting", "millions"), WAITING):
            case = f"{count:,} waiting"
            spreads = [self._results.spread(part, case, each) for each in numbers]
            if any(spreads):
                spreads.insert(1, self._of(part, f"accept, {case}"))
                rows.append((case, *(number(each.middle) if each else "" for each in spreads)))
        heads = (
            *("orders", "µs a VIP order's life", "a regular one accepted"),
            *("VIP's receipt p50, ms", "p99", "start, s", "MiB"),
        )
        return table(heads, rows)

    def subscribers(self) -> str:
        """Tell what subscribers cost that are idle, or slow."""
        rows = [
            (told, number(at.middle))
            for told, case, each in SUBSCRIBERS
            if (at := self._results.spread("subscribers", case, each))
        ]
        return table(("what", "measured"), rows)

    def leaks(self) -> str:
        """Tell what callers leave behind."""
        numbers = ("bytes_each", "open_streams")
        rows = [
            (case, *(number(at.middle) if at else "" for at in spreads))
            for case in self._cases("leaks")
            if (spreads := [self._results.spread("leaks", case, each) for each in numbers])
        ]
        return table(("again and again", "bytes left by each", "streams left open"), rows)

    def hostile(self) -> str:
        """Tell what one peer takes from others."""
        numbers = {
            "bare": ("wait_s", "work_s"),
            "ours": ("wait_s", "work_s", "before_mib", "during_mib", "after_mib"),
        }
        rows = []
        for attack in ATTACKS:
            found = [
                self._results.spread("hostile", f"{attack}, {whose}", each)
                for whose, names in numbers.items()
                for each in names
            ]
            if any(found):
                rows.append((attack, *(number(at.middle) if at else "" for at in found)))
        heads = (
            *("attack", "bare: worst wait, s", "of it at work"),
            *("ours: worst wait, s", "of it at work", "MiB before", "during", "after"),
        )
        return table(heads, rows)

    def rivals_cost(self) -> str:
        """Draw what an order costs with others."""
        rows = [
            Row(told=name, kind=_kind(name), at=at)
            for name in RIVALS
            if (at := self._of("rivals", name))
        ]
        unit = "µs of processor time, each order: whoever places it, broker and workers together"
        return bars("An order end to end, beside what users would pick instead", unit, rows)

    def rivals_vips(self) -> str:
        """Draw how soon a VIP order starts with others."""
        rows = [
            Row(told=name, kind=_kind(name), at=at)
            for name in RIVALS
            if (at := self._ends("rivals", name, numbers=("vip_p50_ms", "vip_p99_ms")))
        ]
        unit = "ms behind 10,000 regular ones, 8 workers, 10 ms each: ● half of all, ○ 99 of 100"
        return ranges("How soon a VIP order starts", unit, rows)

    def rivals(self) -> str:
        """Tell the figures of others."""
        numbers = ("per_second", "producer_us", "broker_us", "worker_us", "p50_ms", "p99_ms")
        heads = ("", "orders/s", "µs: placing", "broker", "workers", "acknowledged, p50 ms", "p99")
        rows = [
            (name, *(number(at.middle) if at else "" for at in spreads))
            for name in self._cases("rivals")
            if (spreads := [self._results.spread("rivals", name, each) for each in numbers])
        ]
        return table(heads, rows)

    def promises(self) -> str:
        """Tell what others promise, and what they kept of it."""
        heads = ("", "an acknowledged order is", "VIP first", "acknowledged", "missing", "twice")
        rows = []
        for name in self._cases("rivals"):
            counts = ("acknowledged", "missing", "twice")
            turns = [self._results.turns("rivals", name, each) for each in counts]
            told = (number(sum(each)) for each in turns)
            rows.append((name, RIVALS[name].promise, RIVALS[name].priority, *told))
        return table(heads, rows)

    def _cases(self, part: str) -> list[str]:
        return list((self._results.part(part) or {"now": {}})["now"])

    def _cells(self, part: str, case: str, what: str) -> tuple[str, str]:
        at = self._results.spread(part, case, what)
        return (number(at.middle), ends(at)) if at else ("", "")

    def run(self, part: str) -> str:
        """Tell when and on what a part was measured."""
        run = (self._results.part(part) or {})["run"]
        usual = (self._results.part("core") or {"run": {}})["run"].get("versions")
        told = {} if part != "core" and run["versions"] == usual else run["versions"]
        versions = "".join(f"; {name} {each}" for name, each in told.items())
        beside = f", beside {run['against']} (turn by turn)" if run["against"] else ""
        coarse = "; a quick, coarse run" if run["quick"] else ""
        return (
            f"*{run['when']}, commit {run['commit']}{beside}; {run['turns']} turns{coarse};"
            f" {run['machine']}, load {run['load_before']} before{versions}.*"
        )


def _kind(name: str) -> str:
    return {"orderintake": "ours", "the article's service": "floor"}.get(name, "rival")


def ends(found: Spread | None) -> str:
    """Tell the lowest and the highest turn."""
    return f"{number(found.low)} to {number(found.high)}" if found else ""


def table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table."""
    lines = [tuple(heads), *rows]
    told = [f"| {' | '.join(line)} |" for line in lines]
    told.insert(1, "|" + " --- |" * len(lines[0]))
    return "\n".join(told)


NEEDS = {
    "cost": "core", "profile": "core", "latency": "core", "ratios": "core", "options": "options",
    "streams": "streams", "live": "streams", "postgres": "postgres", "growth": "growth",
    "waiting": "waiting", "rivals_cost": "rivals", "rivals_vips": "rivals", "promises": "rivals",
    "working": "workers",
}  # fmt: skip
"""Which part each block is of."""


def write(results: Results, out: Path) -> None:
    """Write the page beside the folder `out`, and its plots into it."""
    page, folder = Page(results), out.name

    def block(found: re.Match[str]) -> str:
        kind, name = found[1], found[2]
        part = NEEDS.get(name, name)
        if part not in PARTS:
            raise KeyError(f"page.md names {name}, which nobody draws")
        if results.part(part) is None:
            return "" if kind == "run" else f"Not measured yet: `make bench ARGS={part}`."
        if kind == "run":
            return page.run(part)
        made: Callable[[], str] = getattr(page, name)
        if not (drawn := made()):
            return f"Not measured yet: `make bench ARGS={part}`."
        if kind == "table":
            return drawn
        (out / f"{name}.svg").write_text(drawn)
        return f"![{name}]({folder}/{name}.svg)"

    out.mkdir(parents=True, exist_ok=True)
    text = re.sub(r"\{(plot|table|run) (\w+)\}", block, TEMPLATE.read_text())
    out.with_suffix(".md").write_text(re.sub(r"\n{3,}", "\n\n", text))
