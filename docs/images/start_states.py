"""Draw `start_states.svg`, the states of a start: `python start_states.py > start_states.svg`."""
# ruff: noqa: INP001, T201 - a script of its own, which prints

from html import escape

COLORS = {"plain": "#eef2f7", "good": "#d8f0dc", "bad": "#f8dcdc", "doubt": "#fdf0cd"}
STATES = {  # center, kind, title, second line
    "ready": (115, 60, "plain", "not sent", "one key is chosen"),
    "sent": (430, 60, "plain", "sent", "under the key"),
    "known": (745, 60, "good", "the run is known", "charged once"),
    "refused": (115, 210, "plain", "refused", "nothing was started"),
    "doubt": (430, 210, "doubt", "in doubt", "a run may exist"),
    "exists": (430, 360, "doubt", "a run exists", "looked for in the history"),
    "unknown": (115, 360, "bad", "SubmissionUnknownError", "carries key and candidates"),
    "adopted": (745, 360, "good", "run.adopted", "charged once"),
}
ARROWS = [  # path, where its label is centered, the label
    ("M215 50 H325", 270, 42, "send"),
    ("M325 72 H220", 270, 90, "not reached"),
    ("M535 60 H640", 587, 52, "answered"),
    ("M360 90 L190 178", 262, 120, "refused: 4xx"),
    ("M385 90 V173", 385, 150, "answer lost"),
    ("M475 178 V95", 490, 130, "again, after settle"),
    ("M535 195 L670 95", 668, 160, "no earlier run: started"),
    ("M430 240 V325", 492, 288, "409: under this key"),
    ("M325 360 H225", 275, 352, "several fit"),
    ("M535 360 H640", 587, 352, "one fits"),
    ("M335 240 L180 323", 225, 272, "out of reach"),
    ("M222 332 L385 244", 330, 305, "flora.resolve(error)"),
]

print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 870 410" font-family="sans-serif" role="img">')
print("<title>The states of a start</title>")
print('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">')
print('<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>')
print('<rect width="870" height="410" fill="#fff"/>')
for path, x, y, label in ARROWS:
    print(f'<path d="{path}" fill="none" stroke="#444" stroke-width="1.4" marker-end="url(#tip)"/>')
    print(f'<text x="{x}" y="{y}" font-size="13" text-anchor="middle" fill="#333" stroke="#fff" stroke-width="4"')
    print(f'  paint-order="stroke">{escape(label)}</text>')
for x, y, kind, title, line in STATES.values():
    print(f'<rect x="{x - 105}" y="{y - 32}" width="210" height="62" rx="9" fill="{COLORS[kind]}" stroke="#666"/>')
    print(f'<text x="{x}" y="{y - 6}" font-size="15" font-weight="bold" text-anchor="middle">{escape(title)}</text>')
    print(f'<text x="{x}" y="{y + 15}" font-size="13" text-anchor="middle" fill="#333">{escape(line)}</text>')
print("</svg>")
