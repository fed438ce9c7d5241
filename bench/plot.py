"""Line charts as SVG, written by hand: no library, readable on light and on dark ground."""
import dataclasses
import math

PANEL_W, PANEL_H, LEFT, RIGHT, TOP, BOTTOM = 330, 220, 62, 74, 46, 54
STYLE = """
  .text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; }
  .quiet { fill: #57606a; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .line { fill: none; stroke-width: 2; }
  .spread { stroke-width: 1; }
  .c0 { stroke: #0550ae; } .f0 { fill: #0550ae; }
  .c1 { stroke: #bc4c00; } .f1 { fill: #bc4c00; }
  .c2 { stroke: #6e7781; } .f2 { fill: #6e7781; }
  @media (prefers-color-scheme: dark) {
    .text { fill: #e6edf3; } .quiet { fill: #9da7b1; } .grid { stroke: #30363d; }
    .c0 { stroke: #6cb6ff; } .f0 { fill: #6cb6ff; }
    .c1 { stroke: #f0883e; } .f1 { fill: #f0883e; }
    .c2 { stroke: #9da7b1; } .f2 { fill: #9da7b1; }
  }
"""


@dataclasses.dataclass
class Panel:
    title: str            # what stands on the y axis, with its unit
    x_title: str
    xs: list              # labels, evenly spaced: each step is a factor
    series: dict          # name: [(median, smallest, largest)], one per x
    log: bool = False


def nice_step(top):
    """Of about five grid lines."""
    rough = top / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough)


def scale_of(panel):
    """(lowest, highest, grid values) of the y axis."""
    values = [v for points in panel.series.values() for point in points for v in point]
    if panel.log:
        low, high = math.floor(math.log10(max(min(values), 1e-6))), math.ceil(math.log10(max(values)))
        return 10.0 ** low, 10.0 ** max(high, low + 1), [10.0 ** p for p in range(low, max(high, low + 1) + 1)]
    step = nice_step(max(values))
    top = math.ceil(max(values) / step) * step
    return 0.0, top, [step * i for i in range(round(top / step) + 1)]


def number(value):
    return "%g" % float("%.3g" % value)


def text(x, y, content, classes="", anchor="middle"):
    safe = content.replace("&", "&amp;").replace("<", "&lt;")
    return '<text x="%.1f" y="%.1f" text-anchor="%s" class="text %s">%s</text>' % (x, y, anchor, classes, safe)


def draw(panel, left):
    low, high, grid = scale_of(panel)

    def y_of(value):
        if panel.log:
            share = (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        else:
            share = (value - low) / (high - low)
        return TOP + PANEL_H * (1 - share)
    x_of = lambda i: left + LEFT + PANEL_W * (i + 0.5) / len(panel.xs)
    out = [text(left + LEFT, TOP - 18, panel.title, "title", "start")]
    for value in grid:
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>' % (left + LEFT, left + LEFT + PANEL_W, y_of(value), y_of(value)))
        out.append(text(left + LEFT - 8, y_of(value) + 4, number(value), "quiet", "end"))
    for i, label in enumerate(panel.xs):
        out.append(text(x_of(i), TOP + PANEL_H + 18, label, "quiet"))
    out.append(text(left + LEFT + PANEL_W / 2, TOP + PANEL_H + 40, panel.x_title))
    ends = []
    for n, (name, points) in enumerate(panel.series.items()):
        for i, (_, least, most) in enumerate(points):
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="spread c%d"/>' % (x_of(i), x_of(i), y_of(least), y_of(most), n))
        out.append('<polyline class="line c%d" points="%s"/>' % (n, " ".join("%.1f,%.1f" % (x_of(i), y_of(p[0])) for i, p in enumerate(points))))
        out += ['<circle cx="%.1f" cy="%.1f" r="3" class="f%d"/>' % (x_of(i), y_of(p[0]), n) for i, p in enumerate(points)]
        ends.append([y_of(points[-1][0]), n, name])
    ends.sort()
    for below, above in zip(ends[1:], ends):  # names at the ends of their lines, none upon another
        below[0] = max(below[0], above[0] + 14)
    out += [text(x_of(len(panel.xs) - 1) + 10, y + 4, name, "f%d" % n, "start") for y, n, name in ends]
    return out


def write(path, title, panels):
    width, height = len(panels) * (LEFT + PANEL_W + RIGHT), TOP + PANEL_H + BOTTOM
    body = [line for i, panel in enumerate(panels) for line in draw(panel, i * (LEFT + PANEL_W + RIGHT))]
    with open(path, "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">\n<title>%s</title>\n<style>%s</style>\n%s\n</svg>\n' % (
            width, height, width, height, title, STYLE, "\n".join(body)))
