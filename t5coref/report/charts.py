"""Plots as SVG whose colours the style sheet gives, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from t5coref.view.markup import element, escaped

WIDTH = 900
_LEFT, _RIGHT = 250, 90  # room for labels and totals
_BAR, _GAP = 15, 12
COLOURS = 6
"""Series that the style sheet has colours for; further ones begin anew."""


def colour(series: int) -> str:
    """The class of a series."""
    return f"s{series % COLOURS}"


def legend(names: Sequence[str]) -> str:
    """What the colours mean."""
    items = (
        element("li", element("bdi", escaped(name)), class_=colour(s))
        for s, name in enumerate(names)
    )
    return element("ul", "".join(items), class_="legend")


def stacked_bars(
    groups: Mapping[str, Sequence[tuple[str, Sequence[int]]]],
    series: Sequence[str],
    *,
    shares: bool = False,
) -> str:
    """Horizontal bars in groups.

    Args:
      groups: for each group its bars: a label, and a number for each series.
      series: names of the parts.
      shares: make all bars equally long, with the share of the first series behind them.
    """
    longest = max((sum(values) for bars in groups.values() for _, values in bars), default=0)
    room, y, parts = WIDTH - _LEFT - _RIGHT, 4, []
    for group, bars in groups.items():
        parts.append(_text(0, y + 12, group, "group"))
        for label, values in bars:
            total = sum(values)
            whole = total if shares else longest
            parts.append(_text(_LEFT - 8, y + 12, _short(label), "soft end"))
            x = float(_LEFT)
            for s, value in enumerate(values):
                width = room * value / whole if whole else 0.0
                if value:
                    title = element("title", escaped(f"{label}: {series[s]}: {value:,}"))
                    parts.append(
                        element("rect", title, x=f"{x:.1f}", y=y, width=f"{width:.1f}",
                                height=_BAR, class_=colour(s))
                    )  # fmt: skip
                x += width
            said = f"{total:,}"
            if shares:
                said = f"{values[0] / total:.0%} of {total:,}" if total else "none"
            parts.append(_text(x + 6 if total or not shares else _LEFT, y + 12, said, "soft"))
            y += _BAR + 3
        y += _GAP
    return legend(series) + _svg(y, parts, "bars: " + ", ".join(groups))


def curves(
    stages: Sequence[str], runs: Sequence[tuple[str, Sequence[float]]], *, low: float
) -> str:
    """One line a run over named stages, fractions between `low` and 1 upwards, with its numbers."""
    left, right, height, top = 60, 90, 260, 16
    step = (WIDTH - left - right) / max(len(stages) - 1, 1)

    def place(stage: int, value: float) -> tuple[float, float]:
        return left + stage * step, top + (1 - value) / max(1 - low, 1e-9) * height

    parts = []
    ticks = [low + (1 - low) * k / 4 for k in range(5)]
    for value in ticks:
        _, y = place(0, value)
        across = f"{y:.1f}"
        parts.append(element("line", x1=left, x2=WIDTH - right, y1=across, y2=across))
        parts.append(_text(left - 8, y + 4, f"{100 * value:.0f}", "soft end"))
    for stage, name in enumerate(stages):
        x, _ = place(stage, 1)
        # Two heights, since neighbours are wider than a step.
        parts.append(_text(x, top + height + 18 + 15 * (stage % 2), name, "soft middle"))
    for s, (label, values) in enumerate(runs):
        points = [place(stage, value) for stage, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(element("polyline", points=path, class_=colour(s)))
        for (x, y), value, stage in zip(points, values, stages, strict=True):
            title = element("title", escaped(f"{label}: {stage}: {100 * value:.2f}"))
            parts.append(
                element("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r=4, class_=colour(s))
            )
    names = [label for label, _ in runs]
    return legend(names) + _svg(top + height + 40, parts, "lines: " + ", ".join(names))


def _short(label: str, most: int = 28) -> str:
    return label if len(label) <= most else "…" + label[-(most - 1) :]


def _text(x: float, y: float, content: str, classes: str) -> str:
    return element("text", escaped(content), x=f"{x:.1f}", y=f"{y:.1f}", class_=classes)


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return element(
        "svg", "\n".join(parts), viewBox=f"0 0 {WIDTH} {height:.0f}", role="img", aria_label=label
    )
