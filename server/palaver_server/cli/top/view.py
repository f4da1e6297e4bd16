"""One frame on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from palaver_server.cli.top.figures import Figures, Served
from palaver_server.cli.top.scrape import Quantiles

KEYS = "q quit   space hold   w next window"
STEPS = "▁▂▃▄▅▆▇█"
FULL = 0.85
"""From here on a bar is yellow; whole it is red."""
SLOW_FIRST_TOKEN = 0.5
"""Seconds: the objective."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_ROWS = 6
"""Of a table; what comes after is summed up in a line."""


def frame(
    figures: Figures, console: Console, *, address: str, history: Sequence[float] = (), notice: str = "", keys: str = ""
) -> RenderableType:
    """Everything, as wide as the console.

    Args:
        figures: what to show.
        console: how wide it is.
        address: whose figures these are.
        history: tokens a second of the frames before, oldest first.
        notice: why the figures are old, where they are.
        keys: what can be pressed.
    """
    parts: list[RenderableType] = [
        _head(figures, address, notice),
        _side_by_side(console, _load(figures), _throughput(figures, history, console.width // 2)),
        _side_by_side(console, _latency(figures), _failed(figures)),
        _side_by_side(console, _clients(figures), _methods(figures)),
        _engine(figures),
    ]
    if keys:
        parts.append(Text(keys, style="dim"))
    return Group(*parts)


def _head(figures: Figures, address: str, notice: str) -> RenderableType:
    state = Text("ready", style="bold green") if figures.is_ready else _not_ready(figures)
    told = [Text("palaver", style="bold"), Text(figures.model or "no model", style="cyan"), state]
    if figures.uptime is not None:
        told.append(Text(f"up {_duration(figures.uptime)}"))
    told += [Text(address, style="dim")]
    line = Text("  ").join(told)
    return Group(line, Text(notice, style="bold red")) if notice else line


def _not_ready(figures: Figures) -> Text:
    if figures.load_phase in ("ready", ""):
        return Text("not ready: it leaves, or its engine has failed", style="bold red")
    return Text(f"{figures.load_phase.replace('_', ' ')} {figures.load_progress:.0%}", style="bold yellow")


def _load(figures: Figures) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    _add_bar(table, "running", figures.running, figures.max_running, f"{figures.running}/{figures.max_running}")
    _add_bar(table, "waiting", figures.waiting, figures.max_waiting, f"{figures.waiting}/{figures.max_waiting}")
    if figures.kv_cache is not None:
        _add_bar(table, "KV cache", figures.kv_cache, 1.0, f"{figures.kv_cache:.0%}")
    if figures.engine_running is not None:
        table.add_row("in the engine", f"{figures.engine_running} running, {figures.engine_waiting} waiting", "")
    return _panel("Load", table)


def _add_bar(table: Table, name: str, value: float, most: float, told: str) -> None:
    part = value / most if most else 0.0
    colour = "green" if part < FULL else "yellow" if part < 1 else "red"
    bar = ProgressBar(1.0, min(part, 1.0), complete_style=colour, finished_style=colour)
    table.add_row(name, bar, told)


def _throughput(figures: Figures, history: Sequence[float], width: int) -> Panel:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row(
        "output tokens/s", Text(_amount(figures.output_tokens), style="bold"), _sparkline(history, width - 32)
    )
    hits = "" if figures.prefix_hits is None else f"{figures.prefix_hits:.0%} of them from the prefix cache"
    table.add_row("prompt tokens/s", _amount(figures.prompt_tokens), Text(hits, style="dim"))
    cancelled = f"{_amount(figures.cancelled)} cancelled" if figures.cancelled else ""
    table.add_row("calls/s", _amount(figures.calls), Text(cancelled, style="dim"))
    if figures.preemptions is not None:
        table.add_row("preemptions/s", _amount(figures.preemptions), "")
    return _panel("Throughput", table)


def _sparkline(history: Sequence[float], width: int) -> Text:
    shown = list(history)[-max(width, 1) :]
    most = max(shown, default=0.0)
    steps = (STEPS[min(int(value / most * len(STEPS)), len(STEPS) - 1)] if most else STEPS[0] for value in shown)
    return Text("".join(steps), style="cyan")


def _latency(figures: Figures) -> Panel:
    table = _table("", "p50", "p95", "of")
    for name, quantiles, slow in (
        ("first token", figures.first_token, SLOW_FIRST_TOKEN),
        ("  wait for room", figures.admission, None),
        ("  wait in the engine", figures.engine_queue, None),
        ("between tokens", figures.between_tokens, None),
        ("whole call", figures.whole_call, None),
    ):
        table.add_row(name, *_quantiles(quantiles, slow))
    return _panel(f"Latency, last {_duration(figures.interval)}", table)


def _quantiles(quantiles: Quantiles, slow: float | None) -> tuple[Text, Text, Text]:
    def told(seconds: float | None) -> Text:
        is_slow = slow is not None and seconds is not None and seconds > slow
        return Text("-" if seconds is None else _time(seconds), style="yellow" if is_slow else "")

    return told(quantiles.p50), told(quantiles.p95), Text(str(quantiles.count), style="dim")


def _failed(figures: Figures) -> Panel:
    table = _table("", f"in {_duration(figures.interval)}", "in all")
    for row in figures.failed[:_ROWS]:
        table.add_row(Text(row.reason, style="red" if row.count else ""), _count(row.count), _count(row.total))
    _add_rest(table, len(figures.failed))
    if not figures.failed:
        table.add_row(Text("none", style="dim"), "", "")
    return _panel("Calls that failed or were refused", table)


def _clients(figures: Figures) -> Panel:
    table = _table("", "calls/s", "tokens/s", "failed/s")
    for row in figures.clients[:_ROWS]:
        table.add_row(row.name, _amount(row.calls), _amount(row.tokens or 0.0), _failures(row))
    _add_rest(table, len(figures.clients))
    if not figures.clients:
        table.add_row(Text("nobody has called yet", style="dim"), "", "", "")
    return _panel("Clients", table)


def _methods(figures: Figures) -> Panel:
    table = _table("", "calls/s", "failed/s")
    for row in figures.methods[:_ROWS]:
        table.add_row(row.name, _amount(row.calls), _failures(row))
    tiers = [row for row in figures.tiers if row.name != "none"]
    for row in tiers[:_ROWS]:
        table.add_row(Text(f"tier {row.name}", style="cyan"), _amount(row.calls), _failures(row))
    return _panel("Methods and tiers", table)


def _engine(figures: Figures) -> Text:
    memory = ", ".join(f"{name} {_size(size)}" for name, size in figures.memory.items() if size)
    told = [Text(f"memory: {memory}")]
    if figures.engine_silent >= 1:
        told.append(Text(f"engine silent for {_duration(figures.engine_silent)}", style="bold yellow"))
    if figures.engine_failures:
        told.append(Text("the engine has failed", style="bold red"))
    told.append(Text(f"slow readers: {figures.slow_readers}"))
    if figures.audit_lost:
        told.append(Text(f"audit records lost: {figures.audit_lost}", style="bold red"))
    return Text("   ").join(told)


def _panel(title: str, table: Table) -> Panel:
    return Panel(table, title=title, title_align="left", border_style="dim")


def _table(*columns: str) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True, ratio=None if index else 1)
    return table


def _add_rest(table: Table, count: int) -> None:
    if count > _ROWS:
        table.add_row(Text(f"and {count - _ROWS} more", style="dim"))


def _side_by_side(console: Console, left: Panel, right: Panel) -> Table:
    """Two panels of one height."""
    half = console.options.update(width=console.width // 2)
    left.height = right.height = max(len(console.render_lines(panel, half)) for panel in (left, right))
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(left, right)
    return grid


def _failures(row: Served) -> Text:
    return Text(_amount(row.failed), style="red" if row.failed else "dim")


def _count(value: int) -> str:
    return f"{value:,}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"  # noqa: PLR2004  # three digits


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def _size(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / 1024**2:.0f} MiB"
