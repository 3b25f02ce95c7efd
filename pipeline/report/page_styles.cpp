#include <fmt/format.h>

#include "pipeline/report/page.h"

namespace tessera {
namespace {

/// How far the shading of a share reaches, in steps of 5 %.
std::string share_styles() {
  std::string styles;
  for (int share = 0; share <= 100; share += 5)
    styles += fmt::format(".share-{0} {{ --share: {0}%; }}\n", share);
  return styles;
}

}  // namespace

// --c1 to --c6 are Okabe and Ito's colours, which colour-blind people can distinguish; on black their yellow
// and sky blue take the place of the dark blue.
std::string page_styles() {
  return share_styles() + R"(
:root {
  --paper: #fff; --ink: #15191e; --quiet: #5b6570; --hair: #dfe3e7; --wash: #f4f6f8; --accent: #0072b2;
  --c0: #aab3bc; --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #cc79a7; --c5: #e69f00; --c6: #56b4e9;
  --better: #00714f; --worse: #b84a00;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #111417; --ink: #e6e9ec; --quiet: #98a2ac; --hair: #2b3138; --wash: #1a1f24; --accent: #56b4e9;
    --c0: #5d6873; --c1: #56b4e9; --c2: #e8702a; --c3: #12b886; --c4: #cc79a7; --c5: #e69f00; --c6: #f0e442;
    --better: #35c795; --worse: #f08a4b;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0;
  font: 15px/1.5 Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans",
  Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 44px 32px 80px; }
h1 { font-size: 32px; line-height: 1.15; letter-spacing: -.02em; font-weight: 650; margin: 4px 0 6px;
  overflow-wrap: anywhere; }
h2 { font-size: 20px; line-height: 1.2; letter-spacing: -.01em; font-weight: 650; margin: 0 0 18px; }
h3 { font-size: 14px; font-weight: 600; margin: 28px 0 10px; }
p { margin: 0 0 10px; max-width: 76ch; }
section { border-top: 1px solid var(--hair); padding: 26px 0 14px; margin-top: 26px; }
.pair { display: inline-flex; flex-direction: column; vertical-align: middle; font-size: .68em; line-height: 1.02;
  margin-left: .5px; }
.pair sup, .pair sub { font-size: inherit; line-height: inherit; vertical-align: baseline; }
code, .mono { font: .88em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono",
  monospace; overflow-wrap: anywhere; }
.over { color: var(--quiet); font-size: 13px; margin: 0; display: flex; justify-content: space-between; gap: 16px;
  flex-wrap: wrap; max-width: none; }
.lead { color: var(--quiet); font-size: 16px; margin: 0; }
.note { color: var(--quiet); font-size: 13px; }
.warning { border-left: 3px solid var(--c2); background: var(--wash); padding: 9px 14px; max-width: none; }
nav { margin: 26px 0 0; font-size: 14px; display: flex; flex-wrap: wrap; gap: 4px 20px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }

.keys { display: grid; grid-template-columns: repeat(auto-fit, minmax(126px, 1fr)); gap: 20px 28px;
  margin: 30px 0 0; }
.key { border-top: 2px solid var(--ink); padding-top: 9px; display: flex; flex-direction: column; }
.key-name { font-size: 13px; color: var(--quiet); }
.key-value { font-size: 28px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.key-remark { font-size: 12.5px; color: var(--quiet); }

.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(196px, 1fr)); gap: 22px 28px; }
.facts h3, .config h3 { margin: 0 0 6px; }
.facts ul { list-style: none; margin: 0; padding: 0; font-size: 13.5px; }
.facts li { padding: 1.5px 0; overflow-wrap: anywhere; }
.facts li.note { font-size: 13px; }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 30px 36px;
  margin: 8px 0 26px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 14px; font-weight: 600; margin-bottom: 6px; }
figcaption .note { font-weight: 400; }
figure .note { margin: 4px 0 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .quiet, svg .name { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .tick, svg .axis, svg .quiet { fill: var(--quiet); }
svg .grid { stroke: var(--hair); stroke-width: 1; }
svg .edge { stroke: var(--quiet); stroke-width: 1; }
svg .rule { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 2 3; }
svg .mark { stroke: var(--ink); stroke-width: 2; }
svg .c0 { --c: var(--c0); } svg .c1 { --c: var(--c1); } svg .c2 { --c: var(--c2); } svg .c3 { --c: var(--c3); }
svg .c4 { --c: var(--c4); } svg .c5 { --c: var(--c5); } svg .c6 { --c: var(--c6); }
svg .line, svg .faint, svg .reference, svg .leader { fill: none; stroke: var(--c); stroke-linejoin: round;
  stroke-linecap: round; }
svg .line { stroke-width: 2; }
svg .faint { stroke-width: 1; opacity: .38; }
svg .leader { stroke-width: 1; opacity: .3; }
svg .reference { stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 5 4; }
svg .dot { fill: var(--c); stroke: var(--paper); stroke-width: 1; }
svg .bar { fill: var(--c); }

.table { overflow-x: auto; margin: 0 0 26px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
table.wide { width: 100%; }
th, td { padding: 4px 0 4px 22px; text-align: left; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: 0; }
th { color: var(--quiet); font-weight: 500; border-bottom: 1px solid var(--quiet); white-space: nowrap;
  vertical-align: bottom; }
td { border-bottom: 1px solid var(--hair); overflow-wrap: anywhere; }
td.n, th.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
tr.marked td { background: var(--wash); font-weight: 600; }
td .aside { color: var(--quiet); font-weight: 400; }
td.better { color: var(--better); font-weight: 600; } td.worse { color: var(--worse); }
td.whole { white-space: nowrap; } td.win { font-weight: 650; }
th button { all: unset; cursor: pointer; }
th button:hover { color: var(--ink); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort] { color: var(--ink); }
th[aria-sort=ascending] button::after { content: " \2191"; }
  th[aria-sort=descending] button::after { content: " \2193"; }
td.share { background: linear-gradient(to right, color-mix(in srgb, var(--c1) 22%, transparent) var(--share),
  transparent var(--share)); padding-right: 8px; padding-left: 14px; border-left: 10px solid transparent;
  background-clip: padding-box; }

.picture { margin: 0 0 30px; }
.picture img { display: block; width: 100%; height: auto; }
.panels { display: grid; gap: 0 8px; font-size: 12.5px; color: var(--quiet); margin-bottom: 5px; }
.panels.two { grid-template-columns: repeat(2, 1fr); }
.panels.three { grid-template-columns: repeat(3, 1fr); } .panels.four { grid-template-columns: repeat(4, 1fr); }
.viewer { margin: 0 0 34px; }
.viewer label { font-size: 13px; color: var(--quiet); margin: 0 18px 0 5px; cursor: pointer; }
.viewer input { margin: 0; vertical-align: -2px; accent-color: var(--accent); }
.viewer .panes { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; margin-top: 7px; }
.stack { position: relative; }
.stack img { display: block; width: 100%; height: auto; image-rendering: pixelated; }
.stack img + img { position: absolute; left: 0; top: 0; }
.viewer .labels, .show-errors:not(:checked) ~ .panes .errors { visibility: hidden; }
.show-labels:checked ~ .panes .labels { visibility: visible; }
.full-size:checked ~ .panes { grid-template-columns: minmax(0, 1fr); }
.full-size:checked ~ .panes .pane { overflow: auto; max-height: 92vh; }
.full-size:checked ~ .panes .stack { width: max-content; }
.full-size:checked ~ .panes img { width: auto; max-width: none; }
.strip { display: flex; gap: 8px; overflow-x: auto; margin: 0 0 10px; padding-bottom: 4px; }
.strip figure { flex: 0 0 auto; }
.strip img { display: block; width: 124px; height: auto; }
.strip figcaption { font-size: 12px; font-weight: 500; margin: 4px 0 0; color: var(--ink); }
.advice { border-left: 3px solid var(--c3); background: var(--wash); padding: 9px 14px; max-width: none; }

.legend { font-size: 13px; color: var(--quiet); display: flex; flex-wrap: wrap; gap: 4px 24px; max-width: none; }
.legend-entry { white-space: nowrap; }
.legend i { display: inline-block; width: 11px; height: 11px; margin-right: 7px; vertical-align: -1px; }
.right-membrane { background: #f0e442; } .lost-membrane { background: #d55e00; }
  .false-membrane { background: #56b4e9; }
.run-a, .run-b { font-weight: 600; white-space: nowrap; }
.run-a::before, .run-b::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 50%;
  margin-right: 7px; }
.run-a::before { background: var(--c1); } .run-b::before { background: var(--c2); }

.config { columns: 3 270px; column-gap: 36px; font-size: 12.5px; }
.config div { break-inside: avoid; margin-bottom: 18px; }
.config dl { display: grid; grid-template-columns: 12.5em 1fr; gap: 0 12px; margin: 0; }
.config dt { color: var(--quiet); }
.config dd { margin: 0; overflow-wrap: anywhere; }

@media (max-width: 640px) { main { padding: 26px 16px 48px; } h1 { font-size: 26px; }
  .viewer .panes { grid-template-columns: minmax(0, 1fr); } }
@page { margin: 14mm 13mm; }
@media print {
  html { font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  section { margin-top: 16px; padding: 16px 0 4px; }
  h2, h3, figcaption, .panels, .legend { break-after: avoid; }
  .viewer input, .viewer label { display: none; }
  figure, tr, .key, .facts > div, .picture { break-inside: avoid; }
  .figures { display: block; }
  .figures figure { display: inline-block; width: 48%; margin: 0 1.5% 14px 0; vertical-align: top; }
  .table { overflow: visible; }
  table { font-size: 8.5pt; } th, td { padding: 2.5px 0 2.5px 12px; }
  .key-value { font-size: 19pt; }
  .keys { grid-template-columns: repeat(auto-fit, minmax(76pt, 1fr)); gap: 12px 14px; }
  .facts { grid-template-columns: repeat(4, 1fr); gap: 12px 16px; }
  .facts ul, .facts li.note { font-size: 8pt; }
  .picture { margin-bottom: 16px; }
  p.legend { font-size: 8pt; }
  .config { columns: 3; font-size: 7.5pt; }
  .config dl { grid-template-columns: 10.5em 1fr; }
  .config div { margin-bottom: 10px; break-inside: auto; }
}
)";
}

}  // namespace tessera
