"""Diagrams of lines over a few named places (bounds, say), some beside each other in one SVG, for scripts that measure."""

WIDTH, HEIGHT, LEFT, TOP, GAP_X, GAP_Y = 330, 190, 60, 70, 90, 80


def tick_step(top):
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if top / step <= 6:
            return step
    return top / 5


def panel(title, places, lines, x0, y0, bottom=0.0):
    """One diagram. places: names along x; lines: (colour, {place: value}); what has no value (None) is left out. From bottom
    up; a value below it is drawn there."""
    out = []
    values = [value for _, points in lines for value in points.values() if value is not None]
    top = max(values, default=1) - bottom
    top = top * 1.08 or 1
    step = tick_step(top)
    out.append(f'<text x="{x0}" y="{y0 - 14}" font-weight="bold">{title}</text>')
    tick = 0.0
    while tick <= top:
        y = y0 + HEIGHT - HEIGHT * tick / top
        out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x0 + WIDTH}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{round(bottom + tick, 6):g}</text>')
        tick = round(tick + step, 6)
    place = {name: x0 + WIDTH * (i + 0.5) / len(places) for i, name in enumerate(places)}
    for name, x in place.items():
        out.append(f'<text x="{x:.1f}" y="{y0 + HEIGHT + 18}" text-anchor="middle">{name}</text>')
    for colour, line in lines:
        points = [(place[name], y0 + HEIGHT - HEIGHT * max(value - bottom, 0) / top)
                  for name, value in line.items() if value is not None]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    return out


def picture(legend, panels, caption, spacing=270):
    """All of it. legend: (colour, meaning), each spacing wide; panels: (title, places, lines[, bottom]), two in a row;
    caption: of all x."""
    rows = (len(panels) + 1) // 2
    width = LEFT + 2 * WIDTH + GAP_X + 20
    height = TOP + rows * HEIGHT + (rows - 1) * GAP_Y + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>']
    x = LEFT
    for colour, meaning in legend:
        out.append(f'<line x1="{x}" y1="20" x2="{x + 24}" y2="20" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{x + 30}" y="24">{meaning}</text>')
        x += spacing
    for i, (title, places, lines, *bottom) in enumerate(panels):
        x0 = LEFT + (i % 2) * (WIDTH + GAP_X)
        y0 = TOP + (i // 2) * (HEIGHT + GAP_Y)
        out += panel(title, places, lines, x0, y0, *bottom)
    out.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">{caption}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
